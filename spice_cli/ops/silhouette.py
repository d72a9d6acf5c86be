"""How well clusters are separated, judged without labels."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.neighbors import rows_per_block


def silhouette(
    features: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    sample: int = 10_000,
    metric: Literal["cosine", "euclidean"] = "cosine",
) -> float:
    """Return the mean silhouette coefficient of at most `sample` random rows (Rousseeuw, 1987).

    For each of `features` (n, d) with cluster `labels` (n,): a is the mean distance to the others
    of its cluster, b the least mean distance to another cluster, and its coefficient
    (b - a) / max(a, b), 0 if it is alone in its cluster. From -1 to 1; 0 if all are in one.
    """
    if len(features) > sample:
        drawn = torch.randperm(len(features), generator=generator, device=features.device)[:sample]
        features, labels = features[drawn], labels[drawn]
    points = features.float()
    points = F.normalize(points) if metric == "cosine" else points
    labels = torch.unique(labels, return_inverse=True)[1]
    sizes = torch.bincount(labels)
    if len(sizes) < 2:
        return 0.0
    members = F.one_hot(labels).float()
    rows = rows_per_block(len(points))
    total = torch.zeros((), dtype=torch.float64, device=points.device)
    for start in range(0, len(points), rows):
        x, own = points[start : start + rows], labels[start : start + rows, None]
        distance = torch.cdist(x, points) if metric != "cosine" else (x @ points.T).neg_().add_(1)
        distance.diagonal(start).zero_()
        sums = distance @ members
        within = sums.gather(1, own) / (sizes[own] - 1).clamp(min=1)
        between = (sums / sizes).scatter_(1, own, torch.inf).amin(1, keepdim=True)
        spread = torch.maximum(within, between)
        score = torch.where((sizes[own] > 1) & (spread > 0), (between - within) / spread, 0.0)
        total += score.sum(dtype=torch.float64)
    return float(total) / len(points)
