"""Score a run. The only stage that looks at labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from spice_cli.catalog import METRICS, load
from spice_cli.ops.contingency import Contingency, tabulate
from spice_cli.ops.metrics import Confusion, confusion, many_to_one_accuracy
from spice_cli.ops.probe import knn_accuracy, leave_one_out
from spice_cli.ops.silhouette import silhouette
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import Assignments, assignments, newest
from spice_cli.stages.images import images_of
from spice_cli.stages.truth import truth
from spice_cli.track import Track


@dataclass(frozen=True)
class Choices:
    """What a person may choose about an evaluation."""

    metrics: tuple[str, ...] = ("acc", "nmi", "ari")
    stage: Stage | None = None
    average: Literal["arithmetic", "geometric"] = "arithmetic"
    match: Literal["one-to-one", "many-to-one"] = "one-to-one"
    clusters: int | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """The numbers, and all that must be known to read them."""

    stage: Stage
    protocol: str
    images: int
    clusters: int
    scores: dict[str, float]
    notes: list[str]
    table: Confusion | None
    """None where there is no truth to compare with."""
    titles: list[str]
    """Names of the classes, the rows of the table."""
    per_cluster: list[list[str]]
    """Cluster, size, mean confidence, and with truth its most frequent class and purity."""


def evaluate(run: Run, choices: Choices, track: Track) -> Evaluation:
    """Compare a stage's clusters with the true classes; without any, describe the clusters."""
    stage = choices.stage or newest(run)
    found = assignments(run, stage, choices.clusters)
    labels = truth(run, choices.labels, track.say)
    notes = [_scope(run, stage, found)]
    if bad := run.manifest.data.bad:
        notes.append(f"{len(bad)} unreadable images left out")
    known = labels[found.rows] >= 0 if labels is not None else torch.zeros(1, dtype=torch.bool)
    if labels is None or not bool(known.any()):
        notes.append("no ground truth to compare with: sizes, confidence and silhouette only")
        scores, table, titles = _without_truth(run, found), None, list[str]()
        cells = _per_cluster(found)
    else:
        if not bool(known.all()):
            notes.append(f"{int((~known).sum()):,} images without a label left out")
        found = found.only(known)
        target = labels[found.rows]
        counted = tabulate(found.cluster, target)
        scores = {name: _score(name, counted, choices) for name in choices.metrics}
        if "nmi" in scores:
            notes.append(f"nmi: {choices.average} mean of the entropies")
        if "acc" in scores:
            notes.append(f"acc: clusters matched {choices.match.replace('-', ' ')}")
        if stage is Stage.EMBED:
            notes.append("clusters by spherical k-means, best of 10; knn: 20 nearest, by cosine")
            scores |= _probe(run, labels)
        table = confusion.of(counted)
        titles = _titles(run, choices, table.classes, track)
        cells = _per_cluster(found, target, dict(zip(table.classes, titles, strict=True)))
    return Evaluation(
        stage=stage,
        protocol=run.manifest.data.protocol,
        images=len(found.rows),
        clusters=found.clusters,
        scores=scores,
        notes=notes,
        table=table,
        titles=titles,
        per_cluster=cells,
    )


def _scope(run: Run, stage: Stage, found: Assignments) -> str:
    protocol = run.manifest.data.protocol
    if stage is Stage.SELECT_RELIABLE:
        return f"protocol {protocol}, only the {len(found.rows):,} selected training images"
    where = "train and test together" if protocol == "whole" else "test images alone"
    images = f"{len(found.rows):,} images, {found.clusters} clusters"
    return f"protocol {protocol} ({where}), {images}"


def _score(name: str, table: Contingency, choices: Choices) -> float:
    if name == "acc" and choices.match == "many-to-one":
        return many_to_one_accuracy.of(table)
    extra = (choices.average,) if name == "nmi" else ()
    score: float = load(METRICS[name]).of(table, *extra)
    return score


def _probe(run: Run, labels: Tensor) -> dict[str, float]:
    """Accuracy of a kNN classifier on the embeddings: how much of the classes is in them.

    Nothing where too few labels are known.
    """
    embeddings, train = run.read(Stage.EMBED, "embeddings")["embeddings"], run.manifest.data.train
    known = labels >= 0
    if run.manifest.data.protocol == "whole":
        if int(known.sum()) < 2:
            return {}
        return {"knn": leave_one_out(embeddings[known], labels[known])}
    first, last = known.clone(), known.clone()
    first[train:], last[:train] = False, False
    if not bool(first.any() and last.any()):
        return {}
    return {"knn": knn_accuracy(embeddings[first], labels[first], embeddings[last], labels[last])}


def _without_truth(run: Run, found: Assignments) -> dict[str, float]:
    sizes = torch.bincount(found.cluster, minlength=found.clusters)
    scores = {
        "clusters": int((sizes > 0).sum()),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "confidence": float(found.confidence.mean()),
    }
    if Stage.EMBED in run.manifest.stages and scores["clusters"] > 1:
        features = run.read(Stage.EMBED, "embeddings")["embeddings"][found.rows]
        generator = torch.Generator().manual_seed(0)
        scores["silhouette"] = silhouette(features, found.cluster, generator=generator)
    return scores


def _titles(run: Run, choices: Choices, classes: Sequence[int], track: Track) -> list[str]:
    """Name the classes as the data set does, unless the labels are not its own."""
    ours = choices.labels is None and run.manifest.data.spec is not None
    names = (images_of(run, track.say).names if ours else None) or ()
    return [names[c] if c < len(names) else str(c) for c in classes]


def _per_cluster(
    found: Assignments, target: Tensor | None = None, names: dict[int, str] | None = None
) -> list[list[str]]:
    rows = []
    for cluster in range(found.clusters):
        mine = found.cluster == cluster
        size = int(mine.sum())
        row = [str(cluster), f"{size:,}"]
        row.append(f"{float(found.confidence[mine].mean()):.3f}" if size else "-")
        if target is not None and names:
            top = torch.bincount(target[mine], minlength=1)
            row += [names[int(top.argmax())], f"{int(top.max()) / size:.3f}"] if size else ["-"] * 2
        rows.append(row)
    return rows
