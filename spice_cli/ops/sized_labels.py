"""Pseudo-labels around prototypes for clusters of any size.

As `ops/pseudo_labels.py` (https://arxiv.org/abs/2103.09382, section 3.2), except that each cluster
has a quota of its own in place of an equal one.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Labelled(NamedTuple):
    """Which samples get which label, for each of h heads."""

    rows: Tensor
    """(h, m) int64."""
    label: Tensor
    """(h, m) int64, the cluster of each."""


def quotas(shares: Tensor, total: int, least: int) -> Tensor:
    """Share `total` samples out in proportion to shares (h, k): (h, k) int64 of that sum.

    Every cluster gets at least `least`, or an even part where there are not so many; what is left
    over by rounding goes to the largest remainders, ties to the lower index.
    """
    least = min(least, total // shares.shape[1])
    free = total - least * shares.shape[1]
    exact = shares / shares.sum(1, keepdim=True) * free
    whole = exact.floor().long()
    left = free - whole.sum(1, keepdim=True)
    rank = (exact - whole).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return least + whole + (rank < left)


def sized_labels(features: Tensor, probs: Tensor, quota: Tensor, *, ratio: float) -> Labelled:
    """Label the quota[c] samples nearest to each prototype c; several labels a sample may be.

    Prototypes are means of `features` (n, d) over the int(ratio * quota), at least one, samples
    with the highest `probs` (h, n, k) of the cluster; nearness is the inner product with them.
    Every row of `quota` (h, k) has the same sum, the m labels of a head. Ties go to the lower
    index.
    """
    scores = probs.transpose(1, 2)
    sure = _first(scores, (quota * ratio).long().clamp_min(1))
    prototypes = sure.to(features.dtype) @ features / sure.sum(2, keepdim=True)
    near = _first(prototypes @ features.T, quota)
    _, label, rows = near.nonzero(as_tuple=True)
    return Labelled(rows.view(len(probs), -1), label.view(len(probs), -1))


def _first(scores: Tensor, count: Tensor) -> Tensor:
    """Whether each of scores (h, k, n) is among the highest count (h, k) of its row."""
    order = scores.argsort(dim=2, descending=True, stable=True)
    chosen = torch.arange(scores.shape[2], device=scores.device) < count[..., None]
    return torch.zeros_like(chosen).scatter_(2, order, chosen)
