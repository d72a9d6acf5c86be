"""Exact nearest neighbours by inner product, without ever holding all similarities."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_BYTES = 2**27
_LOW = 2**32 - 1


def nearest(
    embeddings: Tensor,
    k: int,
    *,
    block: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the indices (n, k) int64 of the rows most similar to each row, itself always first.

    Similarity is the inner product in float32, so rows (n, d) should have unit length for
    cosines. The others follow by descending similarity, ties towards the lower index. `block` rows
    are compared with all at a time (default: as many as keep memory within a gigabyte beside the
    embeddings); `progress` is told how many rows each block finished. Raises ValueError unless
    1 <= k <= n.
    """
    n = len(embeddings)
    if not 1 <= k <= n:
        raise ValueError(f"k must be within 1 and {n}, got {k}")
    embeddings = embeddings.float()
    result = torch.empty(n, k, dtype=torch.int64, device=embeddings.device)
    step = block or rows_per_block(n)
    for start in range(0, n, step):
        rows = embeddings[start : start + step]
        similarity = rows @ embeddings.T
        similarity.diagonal(start).fill_(torch.inf)
        result[start : start + step] = _top_in_block(similarity, k)
        if progress:
            progress(len(rows))
    return result


def top(scores: Tensor, k: int) -> Tensor:
    """Return the indices (..., k) int64 of the largest scores (..., n), best first.

    Scores are compared as float32 and ties go to the lower index, which `torch.topk` leaves open:
    score and index are packed into one integer, so that no two are equal. Nothing waits for the
    device. Takes about 20 bytes a score.
    """
    index = torch.arange(scores.shape[-1], device=scores.device)
    return _unpack(_pack(scores, index).topk(k, dim=-1).values)


def rows_per_block(width: int) -> int:
    """How many rows of `width` float32 values make a block of fair size."""
    return max(1, BLOCK_BYTES // (4 * width))


def _top_in_block(similarity: Tensor, k: int) -> Tensor:
    """Do as `top`, faster: packed integers only order what `torch.topk` found.

    Only in rows where the last place taken is tied with the first one not taken could it have
    found the wrong ones; those are done again.
    """
    found = similarity.topk(min(k + 1, similarity.shape[1]), dim=1)
    index = _unpack(_pack(found.values, found.indices).sort(descending=True).values)[:, :k]
    if found.values.shape[1] > k:
        tied = (found.values[:, k - 1] == found.values[:, k]).nonzero().squeeze(1)
        index[tied] = top(similarity[tied], k)
    return index


def _pack(scores: Tensor, index: Tensor) -> Tensor:
    """Combine into int64 that sort by score, then by falling index (below 2^32)."""
    bits = (scores.float() + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return ascending.long().bitwise_left_shift_(32).add_(_LOW - index)


def _unpack(packed: Tensor) -> Tensor:
    return _LOW - (packed & _LOW)
