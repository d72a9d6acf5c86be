"""Score a run. The only stage that looks at labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.ops.contingency import tabulate
from spice_cli.ops.metrics import Confusion, confusion
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import Assignments, assignments, check_begun, newest
from spice_cli.stages.edits import told
from spice_cli.stages.images import images_of
from spice_cli.stages.oracle import Oracle, consult
from spice_cli.stages.origin import origin
from spice_cli.stages.per_cluster import per_cluster
from spice_cli.stages.placed import curation_of
from spice_cli.stages.probed import Probed, probe
from spice_cli.stages.scores import Average, Match, score
from spice_cli.stages.truth import mark, truth
from spice_cli.stages.unlabelled import label_free, sizes
from spice_cli.track import Track


@dataclass(frozen=True)
class Choices:
    """What a person may choose about an evaluation."""

    metrics: tuple[str, ...] = ("acc", "nmi", "ari")
    stage: Stage | None = None
    average: Average = "arithmetic"
    match: Match = "one-to-one"
    clusters: int | None = None
    labels: Path | None = None
    probes: tuple[str, ...] = ()
    """None given: `knn` for `embed`, nothing for other stages."""
    oracle: bool = False
    as_found: bool = False
    """Without what a person merged and split."""


@dataclass(frozen=True)
class Evaluation:
    """The numbers, and all that must be known to read them."""

    stage: Stage
    protocol: str
    images: int
    """How many were scored."""
    clusters: int
    scores: dict[str, float]
    notes: list[str]
    table: Confusion | None
    """None where there is no truth to compare with."""
    titles: list[str]
    """Names of the classes, the rows of the table."""
    per_cluster: list[list[str]]
    """Cluster, size, mean confidence, and with truth its most frequent class and purity."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of the clusters that a person gave one."""
    label_free: dict[str, float] = field(default_factory=dict)
    """Scores that no label went into; without truth `scores` has the silhouette too."""
    labels: str | None = None
    """Hash of the true classes, where they are of a file and not the data set's own."""
    oracle: Oracle | None = None
    coverage: float = 1.0
    """The share of the images the stage could have told of that were scored."""
    partial: bool = False
    """Whether embeddings that the run has could not be read."""


def evaluate(run: Run, choices: Choices, track: Track) -> Evaluation:
    """Compare a stage's clusters with the true classes; without any, describe the clusters."""
    check_begun(run)
    stage = choices.stage or newest(run)
    found = assignments(run, stage, choices.clusters, as_found=choices.as_found)
    labels = truth(run, choices.labels, track.say)
    notes = [_scope(run, stage, found), *([found.how] if found.how else []), origin(run)]
    if changed := told(found.edits):
        notes.append(changed)
    if bad := run.manifest.data.bad:
        notes.append(f"{len(bad)} unreadable images left out")
    known = labels[found.rows] >= 0 if labels is not None else torch.zeros(1, dtype=torch.bool)
    oracle = None
    if labels is None or not bool(known.any()):
        if choices.probes or choices.oracle:
            raise MissingError(
                "probes and the oracle need true classes, and there are none",
                hint="spice evaluate --labels FILE",
            )
        notes.append("no ground truth to compare with: sizes, confidence and silhouette only")
        free, said = label_free(run, found)
        silhouette = {k: v for k, v in free.items() if k == "silhouette"}
        scores, table, titles = sizes(found) | silhouette, None, list[str]()
        cells = per_cluster(found)
    else:
        if not bool(known.all()):
            notes.append(f"{int((~known).sum()):,} images without a label left out")
        found = found.only(known)
        target = labels[found.rows]
        counted = tabulate(found.cluster, target)
        scores, more = score(
            found,
            target,
            counted,
            metrics=choices.metrics,
            average=choices.average,
            matching=choices.match,
        )
        probes = choices.probes or (("knn",) if stage is Stage.EMBED else ())
        probed, how = _probe(run, labels, probes, choices, track)
        scores |= probed
        free, said = label_free(run, found)
        notes += more + how
        if choices.oracle:
            oracle = consult(run, labels, track)
            best = oracle.accuracies[oracle.best]
            scores |= {"oracle-acc": best, "oracle-lost": oracle.lost}
            notes.append(oracle.note)
        table = confusion.of(counted)
        titles = _titles(run, choices, table.classes, track)
        cells = per_cluster(found, target, dict(zip(table.classes, titles, strict=True)))
    return Evaluation(
        stage=stage,
        protocol=run.manifest.data.protocol,
        images=len(found.rows),
        clusters=len(found.numbers),
        coverage=len(found.rows) / _eligible(run, stage),
        scores=scores,
        notes=notes + said,
        table=table,
        titles=titles,
        per_cluster=cells,
        names={} if choices.as_found else curation_of(run, stage, choices.clusters).names,
        label_free=free,
        labels=None if labels is None or choices.labels is None else mark(labels),
        oracle=oracle,
        partial=Stage.EMBED in run.manifest.stages and "rankme" not in free,
    )


def scored_against(run: Run, file: Path | None, track: Track) -> str | None:
    """Return what `Evaluation.labels` would be of an evaluation with the labels in `file`."""
    labels = None if file is None else truth(run, file, track.say)
    return None if labels is None else mark(labels)


def has_truth(run: Run, track: Track) -> bool:
    """Tell whether the data set knows true classes."""
    return truth(run, None, track.say) is not None


def _eligible(run: Run, stage: Stage) -> int:
    """Count the images that scores may be of: the protocol's, or those that labels come from."""
    data = run.manifest.data
    selecting = stage is Stage.SELECT_RELIABLE
    return data.train if selecting or data.protocol == "whole" else data.test


def _scope(run: Run, stage: Stage, found: Assignments) -> str:
    protocol = run.manifest.data.protocol
    if stage is Stage.SELECT_RELIABLE:
        return f"protocol {protocol}, only the {len(found.rows):,} selected training images"
    where = "train and test together" if protocol == "whole" else "test images alone"
    images = f"{len(found.rows):,} images, {len(found.numbers)} clusters"
    return f"protocol {protocol} ({where}), {images}"


def _probe(
    run: Run, labels: Tensor, names: tuple[str, ...], choices: Choices, track: Track
) -> tuple[dict[str, float], list[str]]:
    if not names:
        return {}, []
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"]
    probed = Probed(run, embeddings, labels, choices.average, choices.clusters, track)
    return probe(probed, names)


def _titles(run: Run, choices: Choices, classes: Sequence[int], track: Track) -> list[str]:
    """Name the classes as the data set does, unless the labels are not its own."""
    ours = choices.labels is None and run.manifest.data.spec is not None
    names = (images_of(run, track.say).names if ours else None) or ()
    return [names[c] if c < len(names) else str(c) for c in classes]
