"""The scores of a stage: those kept, where they are of this very artifact, else computed anew."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spice_cli.errors import SpiceError
from spice_cli.json_text import read_json
from spice_cli.run.files import write_text
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import known_clusters, newest
from spice_cli.stages.evaluate import Choices, evaluate, has_truth, scored_against
from spice_cli.stages.keep import edits_mark
from spice_cli.track import Track

FAMILY = "family.json"
Kept = Mapping[str, Mapping[str, Any]]
"""What `evaluate.json` says of an artifact, by the artifact's hash."""


@dataclass(frozen=True)
class Scored:
    """What is known of one stage of one run."""

    stage: Stage
    images: int
    clusters: int
    scores: dict[str, float]
    """The metrics asked for; where there is no truth, what else is known."""
    notes: list[str]
    input: str
    """Hash of the artifact."""
    labels: str | None = None
    """Hash of the true classes, where they are of a file; None: the data set's own, or none."""


def scored(run: Run, stage: Stage, choices: Choices, kept: Kept, track: Track) -> Scored:
    """Return the scores of a stage, out of what was kept if that is of it and as chosen.

    Errors as in `evaluate`; a stage that is stale or broken is an error whatever was kept.
    """
    record = run.record(stage)
    if run.state(stage) != "done":
        run.read(stage)
    choices = replace(choices, stage=stage)
    found = kept.get(record.sha256)
    if found is not None and _answers(found, run, choices, track):
        return _summary(found, choices.metrics, record.sha256)
    anew = evaluate(run, choices, track)
    return _summary(vars(anew), choices.metrics, record.sha256)


def _summary(found: Mapping[str, Any], metrics: tuple[str, ...], sha256: str) -> Scored:
    asked = {name: found["scores"][name] for name in metrics if name in found["scores"]}
    scores = asked or dict(found["scores"])
    shape = found["images"], found["clusters"]
    notes, labels = list(found["notes"]), found.get("labels")
    return Scored(Stage(found["stage"]), *shape, scores, notes, sha256, labels)


def kept_in(paths: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
    """Read what `evaluate` left in runs, and what `spice run --seeds` left in families."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        for file in (path / "evaluate.json", path / FAMILY):
            try:
                content = read_json(file)
                listed = content["scored"] if file.name == FAMILY else [content]
                found |= {each["input"]: each for each in listed}
            except (SpiceError, KeyError, TypeError):
                continue
    return found


def keep_family(path: Path, scored: Iterable[Scored]) -> None:
    """Write the scores of a family's runs, so that they need not be computed again."""
    content = {"scored": [asdict(each) for each in scored]}
    write_text(path / FAMILY, json.dumps(content, indent=2) + "\n")


def _answers(found: Mapping[str, Any], run: Run, choices: Choices, track: Track) -> bool:
    """Tell whether kept scores are those asked for, of the labels asked for."""
    stage = choices.stage or newest(run)
    by_kmeans = stage in (Stage.EMBED, Stage.PRETRAIN)
    try:
        return (
            found["stage"] == stage
            and found.get("edits") == edits_mark(run, stage)
            and set(choices.metrics) <= found["scores"].keys()
            and ("nmi" not in choices.metrics or _says(found, f"nmi: {choices.average} mean"))
            and ("acc" not in choices.metrics or _says(found, "acc: clusters matched one to one"))
            and (not by_kmeans or found["clusters"] == known_clusters(run, choices.clusters))
            and _same_truth(found.get("labels"), run, choices, track)
        )
    except (KeyError, TypeError, AttributeError):
        return False


def _same_truth(kept: str | None, run: Run, choices: Choices, track: Track) -> bool:
    """Tell whether kept scores are of the labels asked for.

    Where none are, these are the data set's own, and whatever the scores are of where it has none.
    """
    if choices.labels is not None:
        return kept == scored_against(run, choices.labels, track)
    return kept is None or (isinstance(kept, str) and not has_truth(run, track))


def _says(found: Mapping[str, Any], start: str) -> bool:
    return any(note.startswith(start) for note in found["notes"])
