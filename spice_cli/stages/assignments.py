"""Which image is in which cluster, by which stage, and how sure."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.errors import MissingError, UsageError
from spice_cli.ops.kmeans import kmeans
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run

SCORED = (Stage.SEMI, Stage.SELF_LABEL, Stage.EMBED)
"""Stages that put every image in a cluster, the best first; `embed` does so by k-means."""


@dataclass(frozen=True)
class Assignments:
    """What one stage decided about the images that count: all, or under `split` the test images."""

    rows: Tensor
    """(m,) int64, places in the data set."""
    cluster: Tensor
    """(m,) int64."""
    confidence: Tensor
    """(m,) probability; for `embed` cosine with the centre, for `select-reliable` consistency."""
    clusters: int
    """k, clusters that stayed empty included."""

    def only(self, kept: Tensor) -> "Assignments":
        """Return those of the images that are marked (m,)."""
        return Assignments(
            self.rows[kept], self.cluster[kept], self.confidence[kept], self.clusters
        )


def newest(run: Run) -> Stage:
    """Return the furthest stage that clustered every image."""
    for stage in SCORED:
        if stage in run.manifest.stages:
            return stage
    raise MissingError(f"`{run.path}` has nothing to evaluate yet", hint=run.command(Stage.EMBED))


def assignments(run: Run, stage: Stage, clusters: int | None) -> Assignments:
    """Return what a stage decided; `clusters` is for k-means on `embed`."""
    data = run.manifest.data
    n = data.train + data.test
    rows = torch.arange(n) if data.protocol == "whole" else torch.arange(data.train, n)
    if stage is Stage.SELECT_RELIABLE:
        found = run.read(stage)
        index, label = found["index"], found["label"]
        agreed = found.get("consistency", torch.ones(data.train))
        return Assignments(index, label, agreed[index], int(label.max()) + 1)
    if stage in (Stage.SEMI, Stage.SELF_LABEL):
        probs = run.read(stage, "probs")["probs"]
        confidence, cluster = probs[rows].max(1)
        return Assignments(rows, cluster, confidence, probs.shape[1])
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"]
    count = clusters or _known(run)
    if count > data.train:
        raise UsageError(f"{count} clusters are more than {data.train} training images")
    centers = kmeans(
        embeddings[: data.train], count, generator=torch.Generator().manual_seed(0)
    ).centers
    cosine, cluster = (embeddings[rows] @ centers.T).max(1)
    return Assignments(rows, cluster, cosine, count)


def _known(run: Run) -> int:
    stored = run.manifest.stages.get(Stage.SELF_LABEL)
    clusters = stored.tensors["probs"].shape[1] if stored else run.manifest.data.classes
    if clusters is None:
        raise UsageError("how many clusters should k-means look for?", hint="--clusters K")
    return clusters
