"""What similarity is: the inner product of float32 rows, summed in float64, rounded to float32.

Summed in float32 it would depend on how the work is cut up, and equal rows might not be.
"""

import torch
from torch import Tensor

CHUNK = 2**13
PAIR_BYTES = 12
CPU_ROOM, GPU_ROOM = 2**23, 2**28
"""Bytes for rows brought together in both types: what a CPU's cache holds, and more on a GPU."""


def similar_to(x: Tensor, own: Tensor, index: Tensor) -> Tensor:
    """Return the similarity (r, c) float32 of rows `own` (r,) of x (n, d) to others (r, c)."""
    c, d = index.shape[1], x.shape[1]
    out = torch.empty(index.shape, device=x.device)
    room = GPU_ROOM if x.is_cuda else CPU_ROOM
    size = min(max(1, room // (PAIR_BYTES * c * d)), len(own))
    narrow = torch.empty(size * c, d, device=x.device)
    wide = torch.empty(size * c, d, dtype=torch.float64, device=x.device)
    for some, theirs, at in zip(*(torch.split(t, size) for t in (own, index, out)), strict=True):
        pairs = theirs.numel()
        torch.index_select(x, 0, theirs.flatten(), out=narrow[:pairs])
        right = wide[:pairs].copy_(narrow[:pairs]).view(-1, c, d).transpose(1, 2)
        at.copy_(torch.bmm(x[some].double().unsqueeze(1), right).squeeze(1))
    return out


def similar_to_all(x: Tensor, own: Tensor) -> Tensor:
    """Return the similarity (r, n) float32 of rows `own` (r,) of x (n, d) to every row."""
    out = torch.empty(len(own), len(x), device=x.device)
    rows = x[own].double()
    for some, at in zip(torch.split(x, CHUNK), torch.split(out, CHUNK, dim=1), strict=True):
        at.copy_(rows @ some.double().T)
    return out
