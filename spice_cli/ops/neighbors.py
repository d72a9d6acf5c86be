"""Exact nearest neighbours by inner product, without ever holding all similarities."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from spice_cli.ops.candidates import Screen, candidates, screen
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.ops.largest import group_size, reorder, top
from spice_cli.ops.search import Take, gathered
from spice_cli.ops.similarity import similar_to, similar_to_all

BLOCK_BYTES = 2**27
ALIKE = 64
"""Rows that are told as much about, when rows are sorted by how much each must be told."""
LEAST = 256
"""Rows that are compared with all at a time where even that takes more than a block."""


def nearest(
    embeddings: Tensor,
    k: int,
    *,
    rows: Tensor | None = None,
    block: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tensor:
    """Return what `tell_nearest` tells, in one tensor (n, k) int64, or (m, k) of `rows` (m,) alone.

    `progress` is told how many rows are finished.
    """
    search = partial(tell_nearest, embeddings, k, block=block)
    wanted = torch.arange(len(embeddings), device=embeddings.device) if rows is None else rows
    return gathered(search, wanted, k, progress)


def tell_nearest(
    embeddings: Tensor,
    k: int,
    take: Take,
    rows: Tensor | None = None,
    *,
    block: int | None = None,
) -> None:
    """Tell `take` the k rows most similar to each row, block by block; itself is always first.

    Similarity is that of `similarity.py`, between rows (n, d), which should have unit length for
    cosines. The others follow by descending similarity, ties towards the lower index. Products in
    bf16 (float32 where bf16 is slow) only name candidates: rows for which a bound on the error does
    not prove them complete are compared again, more precisely. `rows` (m,) int64 limits which are
    asked about; `block` of them are compared with all at a time (default: see `room_for`). Raises
    ValueError unless 1 <= k <= n.
    """
    n = len(embeddings)
    if not 1 <= k <= n:
        raise ValueError(f"k must be within 1 and {n}, got {k}")
    x = embeddings.detach().float()
    asked = torch.arange(n, device=x.device) if rows is None else rows
    left = torch.arange(len(asked), device=x.device)
    if k == 1:
        return take(left, asked.unsqueeze(1))
    if n >= 8 * _kept(k - 1):
        for dtype in _passes(x.device):
            left = _screened(x, asked, left, k, take, dtype, block or _even(n))
    for some in torch.split(left, block or rows_per_block(5 * n)):
        take(some, nearest_of(x, asked[some], k))
    return None


def nearest_of(x: Tensor, rows: Tensor, k: int) -> Tensor:
    """Return the same for some rows (r,) of x (n, d) float32, (r, k), all at once and no screen."""
    scores = similar_to_all(x, rows)
    scores[torch.arange(len(rows), device=x.device), rows] = torch.inf
    return top(scores, k)


def rows_per_block(width: int, room: int = 0) -> int:
    """How many rows of `width` float32 values make a block of fair size, or of `room` bytes."""
    return max(1, (room or BLOCK_BYTES) // (4 * width))


def room_for(n: int, d: int, k: int, *, asked: int | None = None) -> int:
    """Return the bytes that a search for k neighbours among rows (n, d) takes beside them at most.

    The rows in the type of the products, a block of these, their peaks, the candidates of a block
    and those that share a group with one, and some numbers a row. `asked` is how many rows are
    asked about, if not all.
    """
    kept = _kept(k - 1)
    if n < 8 * kept:
        return 24 * n * min(asked or n, rows_per_block(5 * n)) + 60 * n
    each = 2 if multiplies_bf16(torch.device("cpu")) else 4
    rows, group = min(asked or n, _even(n)), group_size(kept, n)
    products = each * rows * n * (group + 8) // group
    return each * n * d + products + 15 * each * rows * kept * group + 60 * n


def _passes(device: torch.device) -> list[torch.dtype]:
    """Which products to try one after another; float64 is not slow on the GPUs that have bf16."""
    if not multiplies_bf16(device):
        return [torch.float32]
    return [torch.bfloat16] if device.type == "cuda" else [torch.bfloat16, torch.float32]


def _screened(
    x: Tensor,
    asked: Tensor,
    left: Tensor,
    k: int,
    take: Take,
    dtype: torch.dtype,
    step: int,
) -> Tensor:
    """Tell the neighbours of the rows asked at places `left` that are sure; return the others.

    If most of the first block are not, the rest are not tried.
    """
    if not len(left):
        return left
    ready = screen(x, dtype, min(step, len(left)))
    unsure: list[Tensor] = []
    for places in torch.split(left, step):
        if unsure and 2 * len(unsure[0]) > step:
            unsure.append(places)
            continue
        own = asked[places]
        found, sure = _among_candidates(x, own, ready, k - 1)
        take(places[sure], torch.cat([own.unsqueeze(1), found], dim=1)[sure])
        unsure.append(places[~sure])
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


def _even(n: int) -> int:
    """Return rows to compare with n, a multiple of 64: odd numbers cost a product half as much."""
    rows = max(rows_per_block(n), min(LEAST, rows_per_block(n, 8 * BLOCK_BYTES)))
    return max(64, rows // 64 * 64)


def _kept(k: int) -> int:
    """How many candidates to take for k neighbours; few of them are looked at closely."""
    return 3 * k + 64
