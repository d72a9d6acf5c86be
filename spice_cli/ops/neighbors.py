"""Exact nearest neighbours by inner product, without ever holding all similarities."""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.ops.candidates import Screen, candidates, screen
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.ops.similarity import similar_to, similar_to_all

BLOCK_BYTES = 2**27
ALIKE = 64
"""Rows that are told as much about, when rows are sorted by how much each must be told."""
_LOW = 2**32 - 1


def nearest(
    embeddings: Tensor,
    k: int,
    *,
    block: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the indices (n, k) int64 of the rows most similar to each row, itself always first.

    Similarity is that of `similarity.py`, between rows (n, d), which should have unit length for
    cosines. The others follow by descending similarity, ties towards the lower index. Products in
    bf16 (float32 where bf16 is slow) only name candidates: rows for which a bound on the error does
    not prove them complete are compared again, more precisely. `block` rows are compared with all
    at a time (default: as many as keep memory within a gigabyte beside the embeddings); `progress`
    is told how many rows are finished. Raises ValueError unless 1 <= k <= n.
    """
    n = len(embeddings)
    if not 1 <= k <= n:
        raise ValueError(f"k must be within 1 and {n}, got {k}")
    x = embeddings.detach().float()
    result = torch.empty(n, k, dtype=torch.int64, device=x.device)
    rows = torch.arange(n, device=x.device)
    done = progress or (lambda rows: None)
    if k > 1 and n >= 8 * _kept(k - 1):
        for dtype in _passes(x.device):
            rows = _screened(x, rows, result, dtype, block or _even(rows_per_block(n)), done)
    result[rows] = nearest_of(x, rows, k, block=block, progress=done)
    return result


def nearest_of(
    x: Tensor,
    rows: Tensor,
    k: int,
    *,
    block: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tensor:
    """Return the same for some rows (r,) of x (n, d) float32 only, (r, k), without a screen."""
    result = torch.empty(len(rows), k, dtype=torch.int64, device=x.device)
    size = block or rows_per_block(5 * len(x))
    for own, into in zip(torch.split(rows, size), torch.split(result, size), strict=True):
        scores = similar_to_all(x, own)
        scores[torch.arange(len(own), device=x.device), own] = torch.inf
        into.copy_(top(scores, k))
        progress(len(own))
    return result


def top(scores: Tensor, k: int) -> Tensor:
    """Return the indices (..., k) int64 of the largest scores (..., n), best first.

    Scores are compared as float32 and ties go to the lower index, which `torch.topk` leaves open:
    score and index are packed into one integer, so that no two are equal. Nothing waits for the
    device. Takes about 20 bytes a score.
    """
    index = torch.arange(scores.shape[-1], device=scores.device)
    return _LOW - (_pack(scores, index).topk(k, dim=-1).values & _LOW)


def reorder(scores: Tensor, index: Tensor) -> Tensor:
    """Return the indices (r, c) int64 by descending score (r, c), ties towards the lower index."""
    return _LOW - (_pack(scores, index).sort(descending=True).values & _LOW)


def rows_per_block(width: int) -> int:
    """How many rows of `width` float32 values make a block of fair size."""
    return max(1, BLOCK_BYTES // (4 * width))


def _passes(device: torch.device) -> list[torch.dtype]:
    """Which products to try one after another; float64 is not slow on the GPUs that have bf16."""
    if not multiplies_bf16(device):
        return [torch.float32]
    return [torch.bfloat16] if device.type == "cuda" else [torch.bfloat16, torch.float32]


def _screened(
    x: Tensor,
    rows: Tensor,
    result: Tensor,
    dtype: torch.dtype,
    step: int,
    done: Callable[[int], None],
) -> Tensor:
    """Fill in the result of the rows (r,) that are sure; return the others.

    If most of the first block are not, the rest are not tried.
    """
    if not len(rows):
        return rows
    ready = screen(x, dtype, min(step, len(rows)))
    unsure: list[Tensor] = []
    for own in torch.split(rows, step):
        if unsure and 2 * len(unsure[0]) > step:
            unsure.append(own)
            continue
        found, sure = _among_candidates(x, own, ready, result.shape[1] - 1)
        result[own] = torch.cat([own.unsqueeze(1), found], dim=1)
        unsure.append(own[~sure])
        done(len(own) - len(unsure[-1]))
    return torch.cat(unsure)


def _among_candidates(x: Tensor, own: Tensor, ready: Screen, k: int) -> tuple[Tensor, Tensor]:
    """Return the nearest others (r, k) of the rows `own`, and for which rows (r,) this is sure.

    What the first few candidates reach says which of the rest are still in question.
    """
    few, kept = k + k // 8 + 8, _kept(k)
    index, bound = candidates(ready, x[own], own, kept)
    scores = torch.full(index.shape, -torch.inf, device=x.device)
    scores[:, :few] = similar_to(x, own, index[:, :few])
    least = scores[:, :few].topk(k, dim=1).values[:, -1:]
    below = torch.nextafter(least, torch.full_like(least, -torch.inf)).double()
    needed, order = (~(bound < below)).sum(1).sort()
    ends = needed.tolist()
    for start in range(0, len(own), ALIKE):
        some, end = order[start : start + ALIKE], ends[min(start + ALIKE, len(own)) - 1]
        if end > few:
            scores[some, few:end] = similar_to(x, own[some], index[some, few:end])
    sure = torch.empty_like(needed, dtype=torch.bool).scatter_(0, order, needed < kept)
    widest = max(few, ends[-1])
    return reorder(scores[:, :widest], index[:, :widest])[:, :k], sure


def _even(rows: int) -> int:
    """Round a number of rows to a multiple of 64: odd numbers cost a product half as much again."""
    return max(64, rows // 64 * 64)


def _kept(k: int) -> int:
    """How many candidates to take for k neighbours; few of them are looked at closely."""
    return 3 * k + 64


def _pack(scores: Tensor, index: Tensor) -> Tensor:
    """Combine into int64 that sort by score, then by falling index (below 2^32)."""
    bits = (scores.float() + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return ascending.long().bitwise_left_shift_(32).add_(_LOW - index)
