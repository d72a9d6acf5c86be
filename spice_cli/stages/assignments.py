"""Which image is in which cluster, by which stage, and how sure."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spice_cli.errors import MissingError, UsageError
from spice_cli.ops.kmeans import kmeans
from spice_cli.run.curation import Edit, load_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.mend import beginning
from spice_cli.run.standing import begun
from spice_cli.run.store import Run
from spice_cli.stages.edits import count_after, edited, has_splits, merged_away

SCORED = (Stage.ASK, Stage.SEMI, Stage.SELF_LABEL, Stage.EMBED)
"""Stages that put every image in a cluster, the best first; `embed` does so by k-means."""
KMEANS = "clusters by spherical k-means, best of 10"


@dataclass(frozen=True)
class Assignments:
    """What one stage decided about the images that count: all, or under `split` the test images."""

    rows: Tensor
    """(m,) int64, places in the data set."""
    cluster: Tensor
    """(m,) int64."""
    confidence: Tensor
    """(m,) probability; after k-means cosine with the centre, for `select-reliable` consistency."""
    clusters: int
    """One more than the highest number of a cluster, those that stayed empty included."""
    how: str = ""
    """How images came to their clusters, where the stage did not say."""
    probability: bool = False
    """Whether `confidence` is one."""
    edits: tuple[Edit, ...] = ()
    """What a person merged and split, which `cluster` is after."""

    @property
    def numbers(self) -> list[int]:
        """The clusters, those that stayed empty included, and those that merges took not."""
        gone = merged_away(self.edits)
        return [cluster for cluster in range(self.clusters) if cluster not in gone]

    def only(self, kept: Tensor) -> "Assignments":
        """Return those of the images that are marked (m,)."""
        return replace(
            self,
            rows=self.rows[kept],
            cluster=self.cluster[kept],
            confidence=self.confidence[kept],
        )


def newest(run: Run, *, before: Stage | None = None) -> Stage:
    """Return the furthest stage that clustered every image, or the furthest before another."""
    for stage in SCORED[SCORED.index(before) + 1 if before else 0 :]:
        if stage in run.manifest.stages:
            return stage
    check_begun(run)
    raise MissingError(f"`{run.path}` has nothing to evaluate yet", hint=run.command(Stage.EMBED))


def check_begun(run: Run) -> None:
    """Raise MissingError where no stage of a run was ever begun; `spice run` begins it."""
    if run.manifest.data.spec is not None and not begun(run.path, run.manifest):
        raise MissingError(
            f"`{run.path}` has nothing to evaluate yet", hint=beginning(run.path, run.manifest)
        )


def assignments(
    run: Run, stage: Stage, clusters: int | None, *, as_found: bool = False
) -> Assignments:
    """Return what a stage decided, after the merges and splits of a person unless `as_found`.

    `clusters` is for k-means on `embed` and `pretrain`; for another number of them than without it
    nothing was merged or split.

    Raises:
        MissingError: the stage is not there, or is a `pretrain` whose method clusters nothing.
        UsageError: nobody knows how many clusters to look for, or they are too many.
    """
    found = _found(run, stage, clusters)
    other = clusters is not None and stage is Stage.EMBED and clusters != unasked(run)
    edits = () if as_found or other else load_curation(run.path, run.record(stage).sha256).edits
    if not edits:
        return found
    split = has_splits(edits)
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"][found.rows] if split else None
    count = count_after(found.clusters, edits)
    cluster = edited(found.cluster, edits, rows)
    return replace(found, cluster=cluster, clusters=count, edits=edits)


def _found(run: Run, stage: Stage, clusters: int | None) -> Assignments:
    data = run.manifest.data
    n = data.train + data.test
    rows = torch.arange(n) if data.protocol == "whole" else torch.arange(data.train, n)
    if stage is Stage.SELECT_RELIABLE:
        found = run.read(stage)
        index, label = found["index"], found["label"]
        agreed = found.get("consistency", torch.ones(data.train))
        return Assignments(index, label, agreed[index], int(label.max()) + 1)
    if stage is Stage.EMBED:
        return _by_kmeans(run, run.read(stage, "embeddings")["embeddings"], rows, clusters)
    if stage is Stage.PRETRAIN:
        name = _left_by_method(run)
        if name is None:
            method = run.record(stage).config.get("method", "it")
            raise MissingError(
                f"`{method}` left nothing in `pretrain` that clusters images",
                hint="k-means on its features: `--stage embed`",
            )
        if name == "projections":
            projected = _by_kmeans(run, run.read(stage, name)[name], rows, clusters)
            return replace(projected, how=f"{KMEANS}, on the method's projections")
    probs = run.read(stage, "probs")["probs"]
    confidence, cluster = (probs[rows] if len(rows) < n else probs).max(1)
    how = "clusters by the method's own head" if stage is Stage.PRETRAIN else ""
    return Assignments(rows, cluster, confidence, probs.shape[1], how, probability=True)


def known_clusters(run: Run, asked: int | None) -> int:
    """Return how many clusters k-means is to look for: as asked, as found, or as declared."""
    data, stored = run.manifest.data, run.manifest.stages.get(Stage.SELF_LABEL)
    count = asked or (stored.tensors["probs"].shape[1] if stored else data.classes)
    if count is None:
        raise UsageError("how many clusters should k-means look for?", hint="--clusters K")
    if count > data.train:
        raise UsageError(f"{count} clusters are more than {data.train} training images")
    return count


def unasked(run: Run) -> int | None:
    """Return how many clusters k-means finds where nobody asks for a number; None: nobody knows."""
    try:
        return known_clusters(run, None)
    except UsageError:
        return None


def _by_kmeans(run: Run, features: Tensor, rows: Tensor, clusters: int | None) -> Assignments:
    count = known_clusters(run, clusters)
    train = features[: run.manifest.data.train]
    centers = kmeans(train, count, generator=torch.Generator().manual_seed(0)).centers
    cosine, cluster = (features[rows] @ centers.T).max(1)
    return Assignments(rows, cluster, cosine, count, KMEANS)


def _left_by_method(run: Run) -> str | None:
    """Name what a pretraining method left that clusters images: its head, else projections."""
    record = run.manifest.stages.get(Stage.PRETRAIN)
    return next((n for n in ("probs", "projections") if record and n in record.tensors), None)
