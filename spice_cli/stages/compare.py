"""Runs and families beside each other, one table for each data set and protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spice_cli.errors import InvalidError, MissingError
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Data, Manifest, Record, Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.evaluate import Choices
from spice_cli.stages.family import Repeated, check_alike, lineage, members, repeated
from spice_cli.stages.scored import Scored, kept_in, scored
from spice_cli.track import Track


@dataclass(frozen=True)
class Row:
    """One stage of one run, or of all runs of a family."""

    name: str
    """As it was given."""
    stage: Stage
    methods: str
    clusters: int
    seeds: tuple[int, ...]
    scores: dict[str, Repeated]


@dataclass(frozen=True)
class Table:
    """Rows that may be ranked: same images, protocol and true classes. The best is first."""

    data: Data
    protocol: str
    images: int
    """Those that were scored."""
    labels: str | None
    """Hash of the true classes, where they are of a file and not the data set's own."""
    average: str
    """Mean of the entropies in NMI."""
    rows: list[Row]


def compare(
    paths: Sequence[Path], choices: Choices, stages: Sequence[Stage], track: Track
) -> list[Table]:
    """Score runs and families and sort each table by its first metric.

    Args:
        paths: runs, or directories with a run `seed-*` each seed.
        choices: metrics and the kind of NMI.
        stages: which of them to score; none: the furthest of each.
        track: told what takes time.

    Raises:
        MissingError: a path is no run, or a run has not finished a stage.
        InvalidError: a run is stale or broken, runs of a family have different settings or were
            scored against different true classes, or runs call different images by the same name.
    """
    tables: dict[tuple[str, str, int, str | None], Table] = {}
    named: dict[tuple[str, str], tuple[Path, Data]] = {}
    for path in paths:
        runs = members(path)
        data = runs[0].manifest.data
        other, before = named.setdefault((data.name, data.protocol), (path, data))
        if before.fingerprint != data.fingerprint:
            raise InvalidError(
                f"`{other}` and `{path}` are both about `{data.name}`, but not the same images "
                f"({_shown(before)}; {_shown(data)})",
                hint=f"spice compare {quoted(path)}",
            )
        for stage in stages or [_furthest(runs)]:
            row, found = _row(path, runs, stage, choices, track)
            of = found.images, found.labels
            key = (data.fingerprint, data.protocol, *of)
            empty = Table(data, data.protocol, *of, choices.average, [])
            tables.setdefault(key, empty).rows.append(row)
    for table in tables.values():
        table.rows.sort(key=lambda row: -_first(row, choices.metrics))
    return list(tables.values())


def methods(manifest: Manifest, stage: Stage) -> str:
    """Name what each stage was made with, up to one of them."""
    found = [_method(manifest.stages[each], each) for each in lineage(manifest, stage)]
    return " > ".join(filter(None, found))


def _row(
    path: Path, runs: Sequence[Run], stage: Stage, choices: Choices, track: Track
) -> tuple[Row, Scored]:
    check_alike(runs, stage)
    kept = kept_in([path, path.resolve().parent, *(run.path for run in runs)])
    found = [scored(run, stage, choices, kept, track) for run in runs]
    if len({each.labels for each in found}) > 1:
        raise InvalidError(
            f"runs of `{path}` were scored against different true classes",
            hint=f"spice compare {quoted(path)} --labels FILE",
        )
    row = Row(
        name=str(path),
        stage=stage,
        methods=methods(runs[0].manifest, stage),
        clusters=found[0].clusters,
        seeds=tuple(run.record(stage).seed for run in runs),
        scores=repeated(found),
    )
    return row, found[0]


def _furthest(runs: Sequence[Run]) -> Stage:
    """Return the furthest stage that any of the runs finished; all are then asked for it."""
    found = []
    for run in runs:
        try:
            found.append(newest(run))
        except MissingError:
            if len(runs) == 1:
                raise
    return max(found, key=list(Stage).index) if found else Stage.EMBED


def _method(record: Record, stage: Stage) -> str:
    if family := record.family:
        return f"consensus of {len(family.members)}"
    if record.imported:
        return f"{stage} from a file"
    if stage is Stage.EMBED:
        return ""
    name = str(record.config.get("method", stage))
    if stage is Stage.PRETRAIN:
        return f"{name} {record.config.get('backbone')}, {record.config.get('epochs')} epochs"
    return name


def _first(row: Row, metrics: Sequence[str]) -> float:
    """Return the mean of the first metric that the row has; rows without any come last."""
    return next((row.scores[m].mean for m in metrics if m in row.scores), float("-inf"))


def _shown(data: Data) -> str:
    size = f"{data.size} pixels, " if data.size else ""
    return f"{size}{data.train + data.test:,} images, fingerprint {data.fingerprint[:8]}"
