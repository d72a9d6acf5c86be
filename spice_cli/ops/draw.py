"""Drawing some of many rows."""

import numpy as np
import torch
from torch import Tensor

MANY, SHARE = 2**20, 100
CATEGORIES = 2**24
"""As many as `torch.multinomial` takes."""


def draw(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` of n rows, (count,) int64 on the generator's device.

    All different, unless n is more than a million and `count` less than a hundredth of it, because
    to permute all rows for each few takes as long as what is done with these. Then each is any row,
    and of 5,000 out of ten million about one is drawn twice.
    """
    device = generator.device
    if n > MANY and SHARE * count < n:
        return torch.randint(n, (count,), generator=generator, device=device)
    return torch.randperm(n, generator=generator, device=device)[:count]


def weighted(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` of n rows (count,) int64, with replacement, in proportion to weights (n,).

    Of more than torch draws from by itself, each is where its number falls among sums of weights:
    added up on the CPU, in the same order everywhere, so that all processes draw the same.
    """
    if len(weights) <= CATEGORIES:
        return torch.multinomial(weights, count, replacement=True, generator=generator)
    device = generator.device
    sums = torch.from_numpy(np.cumsum(weights.cpu().numpy(), dtype=np.float64))
    places = torch.rand(count, dtype=torch.float64, generator=generator, device=device).cpu()
    last = torch.searchsorted(sums, sums[-1:])
    found = torch.searchsorted(sums, places.mul_(sums[-1]), right=True)
    return torch.minimum(found, last).to(device)
