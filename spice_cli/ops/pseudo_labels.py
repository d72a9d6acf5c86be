"""Balanced pseudo-labels around prototypes (https://arxiv.org/abs/2103.09382, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.largest import top

SCORES = 2**24
"""Scores that are compared at a time, where those of one cluster are fewer."""


def prototypes(features: Tensor, probs: Tensor, ratio: float, *, overlap: bool = True) -> Tensor:
    """Return each head's cluster centres (h, k, d): means over the most confident samples.

    Equations 1 and 2: of `features` (n, d), shared by all heads, the int(ratio * (n // k)), at
    least one, with the highest `probs` (h, n, k) of the cluster. Centres are not normalised.
    Without `overlap` clusters choose in index order and skip samples that are taken. Ties go to
    the lower index. Raises ValueError where there are fewer samples than clusters.
    """
    return _sums(features, probs, ratio, overlap) / _confident(probs, ratio)


def prototype_labels(
    features: Tensor, probs: Tensor, *, ratio: float, overlap: bool = True
) -> Tensor:
    """Return the samples (h, k, n // k) int64 nearest to each prototype: row c gets label c.

    Equation 3: nearness is the inner product of `features` (n, d) with the prototypes of `probs`
    (h, n, k). Every cluster gets as many samples, nearest first. With `overlap` a sample may get
    several labels of one head, or none; without, clusters choose in index order and skip samples
    that are taken. Ties go to the lower index. Raises as `prototypes` does.
    """
    sums = _sums(features, probs, ratio, overlap)
    similarity = (sums.flatten(0, 1) @ features.T).view(*sums.shape[:2], -1)
    return _choose(similarity, _quota(probs), overlap)


def _sums(features: Tensor, probs: Tensor, ratio: float, overlap: bool) -> Tensor:
    """Prototypes times a positive constant, which changes no ranking and needs no rounding."""
    chosen = _choose(probs.transpose(1, 2), _confident(probs, ratio), overlap)
    sums = F.embedding_bag(chosen.flatten(0, 1), features, mode="sum")
    return sums.view(*chosen.shape[:2], -1)


def _choose(scores: Tensor, size: int, overlap: bool) -> Tensor:
    """Pick the samples (h, k, size) with the highest of the scores (h, k, n)."""
    if overlap:
        together = max(1, SCORES // (scores.shape[0] * scores.shape[2]))
        return torch.cat([top(part, size) for part in torch.split(scores, together, 1)], 1)
    taken = torch.zeros_like(scores[:, 0], dtype=torch.bool)
    chosen = []
    for cluster in scores.unbind(1):
        chosen.append(top(cluster.masked_fill(taken, -torch.inf), size))
        taken.scatter_(1, chosen[-1], True)
    return torch.stack(chosen, 1)


def _quota(probs: Tensor) -> int:
    """Count the samples of each cluster when a batch is shared out evenly."""
    _, n, k = probs.shape
    if n < k:
        raise ValueError(f"{n} samples cannot be shared by {k} clusters")
    return n // k


def _confident(probs: Tensor, ratio: float) -> int:
    return max(1, int(ratio * _quota(probs)))
