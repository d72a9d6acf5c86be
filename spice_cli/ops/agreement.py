"""How far several clusterings of the same samples agree."""

import torch
from torch import Tensor


def agreement(labels: Tensor, clusters: int) -> Tensor:
    """Return the mean normalised mutual information () float64 of all pairs of rows of `labels`.

    `labels` (h, n) int64 within 0 and `clusters` - 1; normalised by the arithmetic mean of the
    entropies, where two rows of a single cluster each agree fully, as scikit-learn has it. 1 where
    h < 2. Counts each row against all later ones at once; takes 8 (h n + h k^2) bytes.
    """
    heads, device = len(labels), labels.device
    if heads < 2:
        return torch.ones((), dtype=torch.float64, device=device)
    entropies = torch.stack([_entropy(torch.bincount(row, minlength=clusters)) for row in labels])
    found = []
    for first in range(heads - 1):
        others = labels[first + 1 :]
        table = torch.arange(len(others), device=device)[:, None] * clusters**2
        cells = (table + labels[first] * clusters + others).flatten()
        counts = torch.bincount(cells, minlength=len(others) * clusters**2)
        joint = _entropy(counts.view(len(others), -1))
        total = entropies[first] + entropies[first + 1 :]
        mutual = (total - joint).clamp(min=0)
        found.append(torch.where(total > 0, 2 * mutual / total.clamp(min=1e-12), 1.0))
    return torch.cat(found).mean()


def _entropy(counts: Tensor) -> Tensor:
    shares = counts.double()
    terms: Tensor = torch.special.entr(shares / shares.sum(-1, keepdim=True))
    return terms.sum(-1)
