"""Drawing some of many rows in a time that does not grow with the many."""

import torch
from torch import Tensor

MANY, SHARE = 2**20, 100


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
