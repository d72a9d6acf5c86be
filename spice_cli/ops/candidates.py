"""Who may be among the nearest, by cheap products, and how near those left out are at most.

For fixed a, the rows b stand in the same order by <a, b> as by <a, b - mean>, and less is lost when
the smaller b - mean is rounded. With a^ and c^ the rounded a and c = b - mean, Cauchy-Schwarz gives
|<a, c> - <a^, c^>| <= |a - a^| |c| + |a^| |c - c^|. Summing <a^, c^> in float32 adds at most
2^-22 d |a| |c|: four units of rounding a term, so that sums on tensor cores are covered.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from spice_cli.ops.similarity import CHUNK

GROUPS = (8, 4, 2, 1)


@dataclass(frozen=True)
class Screen:
    """Rows (n, d) made ready for cheap products."""

    low: Tensor
    """(n and some more, d): the rows less their mean, rounded; then zeros."""
    products: Tensor
    """(block, n and some more): room to work in, in the type that products come in."""
    rows: int
    """How many rows there are, n."""
    mean: Tensor
    """(d,) float32."""
    long: Tensor
    """() float32, the length of the longest row."""
    centred: Tensor
    """() float32, the length of the longest row less the mean."""
    lost: Tensor
    """() float32, the most that a row less the mean lost by rounding."""


def screen(x: Tensor, dtype: torch.dtype, block: int) -> Screen:
    """Round rows (n, d) float32 to `dtype`, to be compared with `block` rows at a time."""
    n, d = x.shape
    mean = x.mean(0)
    padded = -(-n // GROUPS[0]) * GROUPS[0]
    low = torch.zeros(padded, d, dtype=dtype, device=x.device)
    norms = x.new_zeros(3)
    for start in range(0, n, CHUNK):
        rows = x[start : start + CHUNK]
        centred = rows - mean
        rounded = low[start : start + len(rows)].copy_(centred)
        found = [part.norm(dim=1).max() for part in (rows, centred, centred - rounded.float())]
        norms = torch.maximum(norms, torch.stack(found))
    products = torch.empty(
        block, padded, dtype=torch.float32 if x.is_cuda else dtype, device=x.device
    )
    return Screen(low, products, n, mean, *norms.unbind())


def candidates(screen: Screen, rows: Tensor, own: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Return the likely nearest (r, kept) int64 of rows (r, d) float32, and bounds (r, kept).

    No inner product with a candidate or any one after it, or with a row left out, is above the
    candidate's bound, a float64; it is infinite or no number where nothing is sure. The row itself,
    whose index is in `own` (r,), is left out without being bounded.
    """
    low = rows.to(screen.low.dtype)
    products = screen.products[: len(rows)]
    if products.dtype == low.dtype:
        torch.mm(low, screen.low.T, out=products)
    else:
        torch.mm(low, screen.low.T, out_dtype=products.dtype, out=products)
    products[:, screen.rows :] = -torch.inf
    products[torch.arange(len(own), device=own.device), own] = -torch.inf
    found, index = _largest(products, kept)
    shift = rows.double() @ screen.mean.double()
    return index, _upper(found) + (_error(screen, rows, low.float()) + shift).unsqueeze(1)


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of scores (r, w), best first, and their indices, both (r, k).

    Columns form groups, and none of the k largest is outside the k groups with the largest peaks.
    """
    r, w = scores.shape
    groups = next(g for g in GROUPS if w >= 16 * k * g or g == 1)
    if groups == 1:
        return _top(scores, k)
    peaks = reduce(torch.maximum, scores.view(r, groups, w // groups).unbind(1))
    first = torch.arange(0, w, w // groups, device=scores.device)
    members = (_top(peaks, k)[1].unsqueeze(1) + first.unsqueeze(1)).flatten(1)
    found, chosen = _top(scores.gather(1, members), k)
    return found, members.gather(1, chosen)


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
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


def _upper(scores: Tensor) -> Tensor:
    """Return in float64 the largest numbers that round to the scores."""
    above = torch.nextafter(scores, torch.full_like(scores, torch.inf))
    return (scores.double() + above.double()) / 2


def _error(screen: Screen, rows: Tensor, rounded: Tensor) -> Tensor:
    """Return how much (r,) the product of a row and another less the mean may be too small."""
    length, d = rows.norm(dim=1), rows.shape[1]
    reach = length * screen.centred
    error = (rows - rounded).norm(dim=1) * screen.centred + rounded.norm(dim=1) * screen.lost
    summing = d * (2**-22 * reach + 2**-48 * length * screen.long)
    flushed = d * 2**-120 * (1 + length + screen.centred)
    error = (error * (1 + 2**-10) + summing + flushed).double()
    return torch.where(reach < 2.0**120, error, torch.inf)
