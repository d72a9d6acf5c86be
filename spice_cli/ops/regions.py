"""Mini-clusters of one batch, and the mean of what is predicted in each."""

import torch
import torch.nn.functional as F
from torch import Tensor

ROUNDS = 5
"""Rounds of Lloyd's algorithm: enough for regions that are only averaged over."""


def mini_clusters(features: Tensor, count: int, rounds: int = ROUNDS) -> Tensor:
    """Return the region (n,) int64, one of `count`, that each row of features (n, d) falls in.

    Spherical k-means that starts at the first `count` rows, which are as good as drawn where rows
    come in random order; a region that runs empty keeps its centre. Never waits for the device.
    Raises ValueError unless 1 <= count <= n.
    """
    if not 1 <= count <= len(features):
        raise ValueError(f"count must be within 1 and {len(features)}, got {count}")
    rows = F.normalize(features)
    centers = rows[:count]
    for _ in range(rounds):
        sums = _members(rows, centers).T @ rows
        empty = (sums == 0).all(1, keepdim=True)
        centers = torch.where(empty, centers, F.normalize(sums))
    return (rows @ centers.T).argmax(1)


def region_means(values: Tensor, region: Tensor, count: int) -> Tensor:
    """Return for each row of values (n, k) the mean (n, k) over the rows of its region (n,)."""
    members = _one_hot(region, count).to(values.dtype)
    means = members.T @ values / members.sum(0).clamp_min(1)[:, None]
    return means[region]


def _members(rows: Tensor, centers: Tensor) -> Tensor:
    return _one_hot((rows @ centers.T).argmax(1), len(centers)).to(rows.dtype)


def _one_hot(index: Tensor, count: int) -> Tensor:
    return index[:, None] == torch.arange(count, device=index.device)
