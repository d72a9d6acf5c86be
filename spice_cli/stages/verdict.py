"""What `evaluate` said of a stage's clusters, as far as it still holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import SpiceError
from spice_cli.json_text import read_json
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.keep import FILE, edits_mark


class Confusion(Frozen):
    """How many images of each class (rows) are in each cluster (columns)."""

    classes: tuple[str, ...]
    clusters: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]


class Row(Frozen):
    """One cluster, its most frequent class and that class's share."""

    cluster: int
    images: int
    truth: str | None = Field(None, alias="class")
    purity: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The numbers, empty where nothing is known of these clusters."""

    scores: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    of_cluster: Mapping[int, Row] = field(default_factory=dict)
    """Only clusters of which a class is known."""
    confusion: Confusion | None = None


def verdict(run: Run, stage: Stage, clusters: int) -> Verdict:
    """Read `evaluate.json`, if it is of this very artifact, as it is merged and split now."""
    try:
        kept: Any = read_json(run.path / FILE)
        same = (
            kept["input"] == run.record(stage).sha256
            and kept["stage"] == stage
            and kept["clusters"] == clusters
            and kept.get("edits") == edits_mark(run, stage)
        )
        if not same:
            return Verdict()
        rows = [Row.model_validate(row) for row in kept.get("per_cluster", [])]
        table = kept.get("confusion")
        return Verdict(
            scores={str(name): _number(value) for name, value in kept["scores"].items()},
            notes=tuple(map(str, kept["notes"])),
            of_cluster={row.cluster: row for row in rows if row.truth is not None},
            confusion=Confusion.model_validate(table) if table else None,
        )
    except (SpiceError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return Verdict()


def _number(value: Any) -> float:
    return value if isinstance(value, int) else float(value)
