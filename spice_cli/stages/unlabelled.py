"""What can be said of features and clusters without labels."""

import torch

from spice_cli.errors import InvalidError
from spice_cli.ops.quality import collapsed, quality
from spice_cli.ops.silhouette import silhouette
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import Assignments

SMALL = 0.1
"""Share of an even cluster below which one counts as lost."""


def label_free(run: Run, found: Assignments) -> tuple[dict[str, float], list[str]]:
    """Return RankMe of the embeddings and the silhouette of the clusters in them, and notes.

    Nothing of what needs embeddings where a run has none, or none that can be read.
    """
    scores, notes = dict[str, float](), lost_clusters(found)
    if Stage.EMBED not in run.manifest.stages:
        return scores, notes
    try:
        features = run.read(Stage.EMBED, "embeddings")["embeddings"]
    except InvalidError as error:
        return scores, [*notes, f"neither rankme nor silhouette: {error}"]
    if not torch.equal(found.rows, torch.arange(len(features))):
        features = features[found.rows]
    described = quality(features, torch.Generator().manual_seed(0))
    scores["rankme"] = described["rankme"]
    if int(found.cluster.bincount().count_nonzero()) > 1:
        generator = torch.Generator().manual_seed(0)
        scores["silhouette"] = silhouette(features, found.cluster, generator=generator)
    if collapsed(described):
        notes.append(
            f"the features have collapsed: RankMe {described['rankme']:.2f}, "
            f"mean cosine {described['mean_cosine']:.4f}"
        )
    return scores, notes


def sizes(found: Assignments) -> dict[str, float]:
    """Return how many clusters are in use, the sizes of the extremes, and the mean confidence."""
    counts = torch.bincount(found.cluster, minlength=found.clusters)[found.numbers]
    return {
        "clusters": int((counts > 0).sum()),
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "confidence": float(found.confidence.mean()),
    }


def lost_clusters(found: Assignments) -> list[str]:
    """Say which clusters are empty or hold less than a tenth of an even share; in one note."""
    numbers = torch.tensor(found.numbers)
    counts = torch.bincount(found.cluster, minlength=found.clusters)[numbers]
    small = counts < SMALL * len(found.cluster) / len(numbers)
    if not bool(small.any()):
        return []
    names = ", ".join(map(str, numbers[small][:10].tolist()))
    more = ", ..." if int(small.sum()) > 10 else ""
    return [
        f"{int(small.sum())} of {len(numbers)} clusters lost ({names}{more}): "
        f"{int((counts == 0).sum())} empty, the others below {SMALL:g} of an even share"
    ]
