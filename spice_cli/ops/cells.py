"""Rows in cells of nearby rows, found in two steps, so that more rows cost little more each."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from spice_cli.ops.kmeans import kmeans

TRAINED, BLOCK = 2**18, 2**16
"""Rows that the first step learns from at most, and that are assigned at a time."""
LARGEST = 4
"""A cell of more than so many times the mean is cut up, by index."""


@dataclass(frozen=True)
class Cells:
    """A partition of rows (n, d) into c cells, none empty."""

    label: Tensor
    """(n,) int64, the cell of each row."""
    centers: Tensor
    """(c, d) float32; equal where a cell was cut up."""

    @cached_property
    def order(self) -> Tensor:
        """All rows (n,) int64, those of cell 0 first, ascending within a cell."""
        return self.label.argsort(stable=True)

    @cached_property
    def sizes(self) -> Tensor:
        """The number of rows (c,) int64 in each cell."""
        return torch.bincount(self.label, minlength=len(self.centers))

    @cached_property
    def members(self) -> tuple[Tensor, ...]:
        """The rows of each cell, ascending."""
        return torch.split(self.order, self.sizes.tolist())

    def around(self, cell: int, rows: int) -> Tensor:
        """Return the rows, ascending, of as many of the nearest cells as hold `rows` at least."""
        far = (self.centers - self.centers[cell]).square().sum(1)
        far[cell] = -1
        near = far.argsort(stable=True)
        needed = int((self.sizes[near].cumsum(0) < rows).sum()) + 1
        return torch.cat([self.members[each] for each in near[:needed].tolist()]).sort().values


def cells(x: Tensor, count: int, generator: torch.Generator) -> Cells:
    """Partition rows (n, d) float32 into about `count` cells: k-means, then k-means in each part.

    The first step makes about the square root of `count` parts, each of which the second divides
    into cells in proportion to its rows. Takes some 20 bytes a row beside the largest part.
    """
    n, coarse = len(x), max(1, round(count**0.5))
    some = torch.arange(n, device=x.device)
    if n > TRAINED:
        some = torch.randint(n, (TRAINED,), generator=generator, device=x.device).sort().values
    found = kmeans(
        x[some], min(coarse, len(some)), generator=generator, restarts=1, iterations=10,
        spherical=False,
    )  # fmt: skip
    part = _assign(x, found.centers)
    label = torch.empty_like(part)
    centers: list[Tensor] = []
    parts = torch.split(part.argsort(stable=True), torch.bincount(part).tolist())
    for rows in (rows for rows in parts if len(rows)):
        fine = min(len(rows), max(1, round(count * len(rows) / n)))
        inner = kmeans(
            x[rows], fine, generator=generator, restarts=1, iterations=10, spherical=False
        )
        own, origin = _cut(inner.labels, -(-LARGEST * n // count))
        label[rows] = own + sum(map(len, centers))
        centers.append(inner.centers[origin])
    return Cells(label, torch.cat(centers))


def _assign(x: Tensor, centers: Tensor) -> Tensor:
    half = centers.square().sum(1) / 2
    return torch.cat([(rows @ centers.T - half).argmax(1) for rows in torch.split(x, BLOCK)])


def _cut(label: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Renumber cells (n,) so that none holds more than `most` or nothing; say which each was."""
    order = label.argsort(stable=True)
    sizes = torch.bincount(label)
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(label), device=label.device) - starts[label[order]]
    pieces = int(-(-sizes.max() // most))
    keys = torch.empty_like(label).scatter_(0, order, label[order] * pieces + place // most)
    kept, own = torch.unique(keys, return_inverse=True)
    return own, kept // pieces
