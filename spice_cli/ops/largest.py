"""The largest of many scores, and in which order they stand."""

import numpy as np
import torch
from torch import Tensor

GROUPS = (64, 32, 16, 8, 4, 2, 1)
"""How many columns may form a group, each a divisor of the first."""
_LOW = 2**32 - 1


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


def group_size(k: int, width: int) -> int:
    """Return how many of `width` columns should form a group where the k largest are looked for.

    So that about as many columns are looked at in the best groups as there are groups.
    """
    return next(g for g in GROUPS if k * g * g <= width or g == 1)


def peaks(tile: Tensor, size: int) -> Tensor:
    """Return the largest (r, w / size) of each group of a tile (r, w), w a multiple of `size`.

    A group is every (w / size)-th column. On a CPU bf16 are compared as the integers that their
    bits make, five times as fast; a group with nothing above zero then has some peak below it.
    """
    members = tile.view(len(tile), size, -1)
    if not _by_bits(tile):
        return members.amax(1)
    return members.view(torch.int16).amax(1).view(tile.dtype)


def largest(tiles: Tensor, highest: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of scores, best first, and their columns, both (r, k).

    Scores come in tiles (t, r, w), columns of the first tile first, with the `peaks` (t, r, w / g)
    of each, for none of the k largest is outside the k groups with the largest peaks. Which of
    equal scores is found is left open.
    """
    count, r, w = tiles.shape
    groups = highest.shape[2]
    if groups == w and count == 1:
        return _best(tiles[0], k)
    peak, chosen = _best(highest.transpose(0, 1).reshape(r, count * groups), k)
    if _by_bits(tiles) and not bool((peak[:, -1] > 0).all()):
        highest = tiles.view(count, r, -1, groups).amax(2)
        _, chosen = _best(highest.transpose(0, 1).reshape(r, count * groups), k)
    tile, first = chosen // groups, chosen % groups
    row = torch.arange(r, device=tiles.device).unsqueeze(1)
    step = torch.arange(0, w, groups, device=tiles.device)
    places = (((tile * r + row) * w + first).unsqueeze(2) + step).flatten(1)
    found, best = _best(tiles.view(-1)[places], k)
    group, member = best // len(step), best % len(step)
    return found, (tile * w + first).gather(1, group) + member * groups


def _by_bits(scores: Tensor) -> bool:
    return scores.dtype == torch.bfloat16 and not scores.is_cuda


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Do as `torch.topk`, on a CPU several times faster: numpy has a vectorised partition.

    It is given a score above its index in one integer; a bf16 and a short index need half of one.
    """
    w = scores.shape[1]
    if scores.is_cuda:
        return scores.topk(k, dim=1)
    short = scores.dtype == torch.bfloat16 and w <= 2**16
    whole, half, bits = (torch.int32, torch.int16, 16) if short else (torch.int64, torch.int32, 32)
    sign = 2 ** (bits - 1) - 1
    score = (scores if short else scores.float()).view(half)
    ascending = (score ^ (score >> (bits - 1)).bitwise_and_(sign)).to(whole)
    keys = ascending.bitwise_left_shift_(bits).bitwise_or_(torch.arange(w, dtype=whole)).numpy()
    keys.partition(w - k, axis=1)
    best = np.sort(keys[:, w - k :], axis=1)[:, ::-1].copy()
    packed = torch.from_numpy(best)
    score = (packed >> bits).to(half)
    score = score ^ (score >> (bits - 1)).bitwise_and_(sign)
    return score.view(scores.dtype if short else torch.float32), (packed & (2**bits - 1)).long()


def _pack(scores: Tensor, index: Tensor) -> Tensor:
    """Combine into int64 that sort by score, then by falling index (below 2^32)."""
    bits = (scores.float() + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return ascending.long().bitwise_left_shift_(32).add_(_LOW - index)
