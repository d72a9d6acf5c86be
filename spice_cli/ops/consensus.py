"""One clustering out of several of the same images: their clusters matched, their votes averaged.

Voting after matching, as in Dudoit and Fridlyand, "Bagging to improve the accuracy of a clustering
procedure" (Bioinformatics, 2003), who match every clustering with one reference. That the reference
is the medoid, and that matching then goes on against all others, is ours.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spice_cli.ops.metrics import adjusted_rand_index


def consensus(probs: Sequence[Tensor], rows: int | None = None) -> Tensor:
    """Average several clusterings (n, k) of the same images into one (n, k), clusters matched.

    Args:
        probs: one or more of them, of rows that sum to one; one-hot rows where labels are hard.
        rows: clusters are matched by this many first images; none: by all.
    """
    total = torch.zeros_like(probs[0], dtype=torch.float32)
    for each, order in zip(probs, matching([each[:rows] for each in probs]), strict=True):
        total += each[:, order]
    return total / len(probs)


def matching(probs: Sequence[Tensor]) -> list[Tensor]:
    """Find for each clustering (n, k) the order (k,) of its columns that fits the others.

    At first that fits the medoid. Then each in turn is matched with the sum of all others, by the
    Hungarian algorithm, as long as that raises the agreement: the sum of <P_i, P_j> over all pairs.
    """
    reference = probs[medoid(torch.stack([each.argmax(1) for each in probs]))].float()
    orders = [_fitting(reference.T @ each.float()) for each in probs]
    total = torch.zeros_like(reference)
    for each, order in zip(probs, orders, strict=True):
        total += each[:, order]
    least = 1e-6 * len(reference)
    rising = len(probs) > 1
    while rising:
        rising = False
        for place, each in enumerate(probs):
            rest = total - each[:, orders[place]]
            overlap = rest.T @ each.float()
            order = _fitting(overlap)
            if _trace(overlap, order) - _trace(overlap, orders[place]) > least:
                orders[place], rising = order, True
            total = rest + each[:, orders[place]]
    return orders


def medoid(labels: Tensor) -> int:
    """Return which labelling (r, n) agrees best with the others: mean ARI, the first of equals."""
    agreed = torch.zeros(len(labels), dtype=torch.float64)
    for i, j in combinations(range(len(labels)), 2):
        agreed[[i, j]] += adjusted_rand_index(labels[i], labels[j])
    return agreed.tolist().index(float(agreed.max()))


def _fitting(overlap: Tensor) -> Tensor:
    """Return for each row of `overlap` (k, k) its column (k,), for the largest sum."""
    _, order = linear_sum_assignment(overlap.double().cpu().numpy(), maximize=True)
    return torch.from_numpy(order).to(overlap.device)


def _trace(overlap: Tensor, order: Tensor) -> float:
    return float(overlap.gather(1, order[:, None]).sum(dtype=torch.float64))
