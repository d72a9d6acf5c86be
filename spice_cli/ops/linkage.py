"""Which groups of rows merge first: average linkage of given groups."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """Groups that become one."""

    groups: tuple[int, ...]
    """All that are then one, the lowest of the two numbers that merge first."""
    cosine: float
    """Mean similarity of their rows, between the two that merge."""


def average_linkage(rows: Tensor, group: Tensor) -> list[Step]:
    """Return in which order groups merge, the most alike first, down to one.

    Two groups are as alike as a row of the one and a row of the other are on average (UPGMA, Sokal
    and Michener 1958), which is the inner product of their means; so that nothing larger than
    (k, d) is held.

    Args:
        rows: (m, d), unit rows where cosines are meant.
        group: (m,) int64 from 0; numbers without rows are passed over.
    """
    count = int(group.max()) + 1
    sums = torch.zeros(count, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, group, rows.double())
    sizes = torch.bincount(group, minlength=count)
    parts: dict[int, tuple[int, ...]] = {each: (each,) for each in sizes.nonzero()[:, 0].tolist()}
    steps = []
    while len(parts) > 1:
        ids = list(parts)
        means = sums[ids] / sizes[ids, None]
        alike = (means @ means.T).fill_diagonal_(-torch.inf)
        first, second = sorted(divmod(int(alike.argmax()), len(ids)))
        kept, gone = ids[first], ids[second]
        sums[kept] += sums[gone]
        sizes[kept] += sizes[gone]
        parts[kept] += parts.pop(gone)
        steps.append(Step(parts[kept], float(alike[first, second])))
    return steps
