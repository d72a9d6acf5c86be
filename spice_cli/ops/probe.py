"""How far labels can be read off features: what the nearest neighbours say.

Votes: Wu et al., https://arxiv.org/abs/1805.01978, section 3.4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.largest import top
from spice_cli.ops.neighbors import nearest, rows_per_block


def knn_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Return the share of test samples whose `k` nearest train samples vote for their class.

    Votes weigh exp(cosine / temperature); `k` is at most the number of train samples. Features are
    (n, d) and (m, d), brought to unit length here; labels (n,) and (m,) may be any integers.
    """
    bank, queries = F.normalize(train_x.float()), F.normalize(test_x.float())
    return _vote(bank, train_y, queries, test_y, _among(bank, queries, k), temperature)


def leave_one_out(x: Tensor, y: Tensor, *, k: int = 20, temperature: float = 0.07) -> float:
    """Return the same for `x` (n, d) and `y` (n,) against themselves, each without itself.

    Raises ValueError for fewer than two samples.
    """
    bank = F.normalize(x.float())
    return _vote(bank, y, bank, y, _others(bank, k), temperature)


def neighbor_purity(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, k: int = 20
) -> float:
    """Return the mean share of the test samples' `k` nearest train samples with their class.

    Features and labels as in `knn_accuracy`. It is what SCAN reports of the neighbours it mines.
    """
    neighbors = _among(F.normalize(train_x.float()), F.normalize(test_x.float()), k)
    return float((train_y[neighbors] == test_y[:, None]).double().mean())


def purity_without_itself(x: Tensor, y: Tensor, *, k: int = 20) -> float:
    """Return the same for `x` (n, d) and `y` (n,) against themselves, each without itself.

    Raises ValueError for fewer than two samples.
    """
    return float((y[_others(F.normalize(x.float()), k)] == y[:, None]).double().mean())


def _among(bank: Tensor, queries: Tensor, k: int) -> Tensor:
    """Name the `k` rows of the bank (n, d) nearest to each query (m, d): (m, k), or all n."""
    k = min(k, len(bank))
    blocks = torch.split(queries, rows_per_block(5 * len(bank)))
    return torch.cat([top(rows @ bank.T, k) for rows in blocks])


def _others(bank: Tensor, k: int) -> Tensor:
    """Name the `k` other rows of the bank (n, d) nearest to each: (n, k), or all n - 1."""
    if len(bank) < 2:
        raise ValueError("at least two samples are needed to leave one out")
    return nearest(bank, min(k + 1, len(bank)))[:, 1:]


def _vote(
    bank: Tensor, bank_y: Tensor, queries: Tensor, y: Tensor, neighbors: Tensor, temperature: float
) -> float:
    classes, index = torch.unique(bank_y, return_inverse=True)
    right = torch.zeros((), dtype=torch.int64, device=y.device)
    rows = rows_per_block(neighbors.shape[1] * bank.shape[1] + len(classes))
    for x, near, truth in zip(
        *(torch.split(tensor, rows) for tensor in (queries, neighbors, y)), strict=True
    ):
        similarity = torch.einsum("nd,nkd->nk", x, bank[near])
        weights = ((similarity - 1) / temperature).exp()
        votes = weights.new_zeros(len(x), len(classes)).scatter_add_(1, index[near], weights)
        right += (classes[votes.argmax(1)] == truth).sum()
    return int(right) / len(y)
