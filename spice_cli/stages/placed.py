"""In which cluster every image of a run is, train and test, after what a person changed."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.ops.kmeans import kmeans
from spice_cli.run.curation import Curation, load_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import known_clusters, unasked
from spice_cli.stages.edits import count_after, edited, has_splits


@dataclass(frozen=True)
class Placed:
    """All n images of a run."""

    cluster: Tensor
    """(n,) int64."""
    confidence: Tensor
    """(n,) float32 probability, or by k-means on `embed` cosine with the centre."""
    clusters: int
    """One more than the highest number that a cluster may have."""
    names: Mapping[int, str]
    """Of clusters that were given one."""


def placed(run: Run, stage: Stage, clusters: int | None = None) -> Placed:
    """Return in which cluster a stage put each image; `clusters` is for k-means on `embed`.

    Raises:
        MissingError: the stage is not there.
        UsageError: nobody knows how many clusters k-means is to look for.
        InvalidError: what is stored is stale or damaged.
    """
    if stage is Stage.EMBED:
        centers = centers_of(run, clusters)
        scores = run.read(stage, "embeddings")["embeddings"].float() @ centers.T
    else:
        scores = run.read(stage, "probs")["probs"].float()
    confidence, cluster = scores.max(1)
    curation = curation_of(run, stage, clusters)
    split = has_splits(curation.edits)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"] if split else None
    count = count_after(scores.shape[1], curation.edits)
    return Placed(edited(cluster, curation.edits, embeddings), confidence, count, curation.names)


def curation_of(run: Run, stage: Stage, clusters: int | None = None) -> Curation:
    """Return what a person decided about a stage's clusters, if these are the ones asked for."""
    of = run.record(stage).sha256
    other = clusters is not None and stage is Stage.EMBED and clusters != unasked(run)
    return Curation(of=of) if other else load_curation(run.path, of)


def centers_of(run: Run, clusters: int | None) -> Tensor:
    """Return the unit centres (k, d) of k-means on the training images' embeddings."""
    train = run.read(Stage.EMBED, "embeddings")["embeddings"][: run.manifest.data.train].float()
    count = known_clusters(run, clusters)
    return kmeans(train, count, generator=torch.Generator().manual_seed(0)).centers
