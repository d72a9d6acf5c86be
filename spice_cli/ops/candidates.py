"""Who may be among the nearest, by cheap products, and how near those left out are at most.

For fixed a, the rows b stand in the same order by <a, b> as by <a, b - mean>, and less is lost when
the smaller b - mean is rounded. With a^ and c^ the rounded a and c = b - mean, Cauchy-Schwarz gives
|<a, c> - <a^, c^>| <= |a - a^| |c| + |a^| |c - c^|. Summing <a^, c^> in float32 adds at most
2^-22 d |a| |c|: four units of rounding a term, so that sums on tensor cores are covered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.ops.largest import GROUPS, group_size, largest, peaks
from spice_cli.ops.similarity import CHUNK

TILE = 2**12
"""Columns of products that a CPU makes and looks through while its caches hold them."""


@dataclass(frozen=True)
class Screen:
    """Rows (n, d) made ready for cheap products."""

    low: Tensor
    """(n and some more, d): the rows less their mean, rounded; then zeros."""
    products: Tensor
    """(tiles, block, columns): room to work in, in the type that products come in."""
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
    tiles = 1 if x.is_cuda else -(-n // TILE)
    columns = -(-n // (tiles * GROUPS[0])) * GROUPS[0]
    low = torch.zeros(tiles * columns, d, dtype=dtype, device=x.device)
    norms = x.new_zeros(3)
    for start in range(0, n, CHUNK):
        rows = x[start : start + CHUNK]
        centred = rows - mean
        rounded = low[start : start + len(rows)].copy_(centred)
        found = [part.norm(dim=1).max() for part in (rows, centred, centred - rounded.float())]
        norms = torch.maximum(norms, torch.stack(found))
    kind = torch.float32 if x.is_cuda else dtype
    products = torch.empty(tiles * block * columns, dtype=kind, device=x.device)
    products = products.view(tiles, block, columns)
    return Screen(low, products, n, mean, *norms.unbind())


def candidates(screen: Screen, rows: Tensor, own: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Return the likely nearest (r, kept) int64 of rows (r, d) float32, and bounds (r, kept).

    No inner product with a candidate or any one after it, or with a row left out, is above the
    candidate's bound, a float64; it is infinite or no number where nothing is sure. The row itself,
    whose index is in `own` (r,), is left out without being bounded.
    """
    low = rows.to(screen.low.dtype)
    found, index = largest(*_products(screen, low, own, kept), kept)
    shift = rows.double() @ screen.mean.double()
    return index, _upper(found) + (_error(screen, rows, low.float()) + shift).unsqueeze(1)


def _products(screen: Screen, low: Tensor, own: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Return all products (t, r, w) with rows (r, d), and their peaks by groups (t, r, w / g)."""
    count, _, w = screen.products.shape
    products = screen.products.view(-1)[: count * len(low) * w].view(count, len(low), w)
    size = group_size(kept, count * w)
    highest = products.new_empty(count, len(low), w // size)
    for tile, (theirs, out) in enumerate(zip(torch.split(screen.low, w), products, strict=True)):
        if out.dtype == low.dtype:
            torch.mm(low, theirs.T, out=out)
        else:
            torch.mm(low, theirs.T, out_dtype=out.dtype, out=out)
        if tile == count - 1:
            out[:, screen.rows - tile * w :] = -torch.inf
        highest[tile] = peaks(out, size)
    row, tile_of, inside = torch.arange(len(own), device=own.device), own // w, own % w
    products[tile_of, row, inside] = -torch.inf
    group = (inside % (w // size)).unsqueeze(1) + torch.arange(0, w, w // size, device=own.device)
    again = products[tile_of.unsqueeze(1), row.unsqueeze(1), group].amax(1)
    highest[tile_of, row, inside % (w // size)] = again
    return products, highest


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
