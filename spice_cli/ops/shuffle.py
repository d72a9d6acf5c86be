"""The order in which an epoch sees its rows: any, or one that reads a file block by block."""

import torch
from torch import Tensor

BLOCK = 2**22
"""Bytes that lie together in a file and are read together."""


def shuffled(rows: int, generator: torch.Generator, *, window: int = 0, block: int = 1) -> Tensor:
    """Return a random order (rows,) int64 on the generator's device.

    With a `window` below `rows`, blocks of `block` rows that follow each other are shuffled, and
    then all rows within every so many blocks as hold `window` rows: so that each row is read once,
    near its neighbours, and no more than a window of them need be in memory together.
    """
    device = generator.device
    if not 0 < window < rows:
        return torch.randperm(rows, generator=generator, device=device)
    starts = torch.randperm(-(-rows // block), generator=generator, device=device) * block
    parts = []
    for some in torch.split(starts, max(1, window // block)):
        inside = (some.unsqueeze(1) + torch.arange(block, device=device)).flatten()
        inside = inside[inside < rows]
        parts.append(inside[torch.randperm(len(inside), generator=generator, device=device)])
    return torch.cat(parts)


def window_of(pixels: Tensor, memory: int) -> tuple[int, int]:
    """Return the window and the block, in images, in which pixels (n, ...) should be shuffled.

    No window (0) for what takes less than half of `memory` bytes; else as much as fills a quarter
    of it, wherever the pixels lie.
    """
    each = pixels[0].nbytes
    if 2 * each * len(pixels) <= memory:
        return 0, 1
    return max(1, memory // (4 * each)), max(1, BLOCK // each)
