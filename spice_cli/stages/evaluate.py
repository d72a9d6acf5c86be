"""Score a run. The only stage that looks at labels."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from spice_cli.catalog import METRICS, load
from spice_cli.errors import MissingError, UsageError
from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.metrics import confusion, many_to_one_accuracy
from spice_cli.ops.probe import knn_accuracy, leave_one_out
from spice_cli.ops.silhouette import silhouette
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.images import images_of
from spice_cli.stages.truth import truth
from spice_cli.track import Track

SCORED = (Stage.SEMI, Stage.SELF_LABEL, Stage.EMBED)
"""Stages that put every image in a cluster, the best first; `embed` does so by k-means."""


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
    table: Tensor | None = None
    """Counts (classes, clusters), clusters in the order of the classes they were matched with."""
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    per_cluster: list[list[str]] = field(default_factory=list)
    """Cluster, size, mean confidence, and with truth: class and purity."""


def evaluate(run: Run, choices: Choices, track: Track) -> Evaluation:
    """Compare a stage's clusters with the true classes; without any, describe the clusters."""
    stage = choices.stage or newest(run)
    rows, predicted, confidence = _assignments(run, stage, choices, track)
    labels = truth(run, choices.labels, track.say)
    clusters = int(predicted.max()) + 1
    data = run.manifest.data
    where = "train and test together" if data.protocol == "whole" else "test images alone"
    notes = [f"protocol {data.protocol} ({where}), {len(rows):,} images, {clusters} clusters"]
    if stage is Stage.SELECT_RELIABLE:
        notes = [f"protocol {data.protocol}, only the {len(rows):,} selected training images"]
    if data.bad:
        notes.append(f"{len(data.bad)} unreadable images left out")
    if labels is None or not bool((labels[rows] >= 0).any()):
        notes.append("no ground truth to compare with: sizes, confidence and silhouette only")
        found = _without_truth(run, stage, rows, predicted, confidence)
        cells = _cells(predicted, confidence)
        return Evaluation(
            stage, data.protocol, len(rows), clusters, found, notes, per_cluster=cells
        )
    known = labels[rows] >= 0
    if not bool(known.all()):
        notes.append(f"{int((~known).sum()):,} images without a label left out")
    rows, predicted, confidence = rows[known], predicted[known], confidence[known]
    target = labels[rows]
    scores = {name: _score(name, predicted, target, choices) for name in choices.metrics}
    if "nmi" in scores:
        notes.append(f"nmi: {choices.average} mean of the entropies")
    if "acc" in scores:
        notes.append(f"acc: clusters matched {choices.match.replace('-', ' ')}")
    if stage is Stage.EMBED:
        notes.append("clusters by spherical k-means, best of 10; knn: 20 nearest, by cosine")
        scores |= _probe(run, labels)
    table = confusion(predicted, target)
    names = images_of(run, track.say).names if data.spec else None
    titles = [names[c] if names and c < len(names) else str(c) for c in table.classes]
    cells = _cells(predicted, confidence, target, titles, table.classes)
    return Evaluation(
        stage,
        data.protocol,
        len(rows),
        clusters,
        scores,
        notes,
        table.counts,
        titles,
        [str(c) for c in table.clusters],
        cells,
    )


def newest(run: Run) -> Stage:
    """Return the furthest stage that clustered every image."""
    for stage in SCORED:
        if stage in run.manifest.stages:
            return stage
    raise MissingError(
        f"`{run.path}` has nothing to evaluate yet", hint=f"spice embed -r {run.path}"
    )


def save(run: Run, found: Evaluation) -> list[Path]:
    """Write `evaluate.json` and, where there is truth, `confusion.png`; return the files."""
    summary = {
        "stage": found.stage,
        "protocol": found.protocol,
        "images": found.images,
        "clusters": found.clusters,
        "notes": found.notes,
        "scores": found.scores,
        "seed": run.record(found.stage).seed,
        "input": run.record(found.stage).sha256,
    }
    file = run.path / "evaluate.json"
    file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if found.table is None:
        return [file]
    from spice_cli.report.confusion import draw

    picture = run.path / "confusion.png"
    title = f"{run.manifest.data.name.rsplit('/', 1)[-1]}, {found.stage}, {found.protocol}"
    draw(found.table, found.rows, found.columns, picture, title)
    return [file, picture]


def _assignments(
    run: Run, stage: Stage, choices: Choices, track: Track
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (m,), their clusters (m,) and confidences (m,)."""
    data = run.manifest.data
    tensors = run.read(stage)
    if stage is Stage.SELECT_RELIABLE:
        index = tensors["index"]
        agreed = tensors.get("consistency", torch.ones(data.train))
        return index, tensors["label"], agreed[index]
    n = data.train + data.test
    rows = torch.arange(n) if data.protocol == "whole" else torch.arange(data.train, n)
    if "probs" in tensors:
        confidence, predicted = tensors["probs"][rows].max(1)
        return rows, predicted, confidence
    if "embeddings" not in tensors:
        raise UsageError(f"`{stage}` puts no image in a cluster", hint="--stage embed")
    clusters = choices.clusters or _clusters(run)
    embeddings = tensors["embeddings"]
    if clusters > data.train:
        raise UsageError(f"{clusters} clusters are more than {data.train} training images")
    found = kmeans(embeddings[: data.train], clusters, generator=torch.Generator().manual_seed(0))
    cosine, predicted = (embeddings[rows] @ found.centers.T).max(1)
    return rows, predicted, cosine


def _clusters(run: Run) -> int:
    stored = run.manifest.stages.get(Stage.SELF_LABEL)
    clusters = stored.tensors["probs"].shape[1] if stored else run.manifest.data.classes
    if clusters is None:
        raise UsageError("how many clusters should k-means look for?", hint="--clusters K")
    return clusters


def _score(name: str, predicted: Tensor, target: Tensor, choices: Choices) -> float:
    if name == "acc" and choices.match == "many-to-one":
        return many_to_one_accuracy(predicted, target)
    metric = load(METRICS[name])
    score: float = (
        metric(predicted, target, choices.average) if name == "nmi" else metric(predicted, target)
    )
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
    sides = embeddings[first], labels[first], embeddings[last], labels[last]
    return {"knn": knn_accuracy(*sides)}


def _without_truth(
    run: Run, stage: Stage, rows: Tensor, predicted: Tensor, confidence: Tensor
) -> dict[str, float]:
    sizes = torch.bincount(predicted)
    found = {
        "clusters": int((sizes > 0).sum()),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "confidence": float(confidence.mean()),
    }
    if Stage.EMBED in run.manifest.stages and found["clusters"] > 1:
        features = run.read(Stage.EMBED, "embeddings")["embeddings"][rows]
        generator = torch.Generator().manual_seed(0)
        found["silhouette"] = silhouette(features, predicted, generator=generator)
    return found


def _cells(
    predicted: Tensor,
    confidence: Tensor,
    target: Tensor | None = None,
    titles: Iterable[str] = (),
    classes: Iterable[int] = (),
) -> list[list[str]]:
    names = dict(zip(classes, titles, strict=True))
    rows = []
    for cluster in range(int(predicted.max()) + 1):
        mine = predicted == cluster
        size = int(mine.sum())
        row = [str(cluster), f"{size:,}", f"{float(confidence[mine].mean()):.3f}" if size else "-"]
        if target is not None:
            top = torch.bincount(target[mine], minlength=1)
            row += [names[int(top.argmax())], f"{int(top.max()) / size:.3f}"] if size else ["-"] * 2
        rows.append(row)
    return rows
