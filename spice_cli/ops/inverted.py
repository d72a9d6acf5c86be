"""Nearest neighbours among nearby rows alone: an inverted file, searched by matrix products.

All rows of a cell are compared at once, exactly, with all rows of the cells around it, by the
search of `neighbors.py`. So what an inverted file (https://arxiv.org/abs/1702.08734) saves is kept,
and its lists are not walked query by query.
"""

import torch
from torch import Tensor

from spice_cli.ops.cells import Cells, cells
from spice_cli.ops.neighbors import nearest, tell_nearest
from spice_cli.ops.search import Search, Take, gathered

SAMPLE = 500
"""Rows whose neighbours are found exactly, to say how many are missed."""
TARGET = 0.97
"""Share of neighbours that must be found of the sample."""


def inverted(x: Tensor, k: int, generator: torch.Generator) -> tuple[Search, int]:
    """Return a search for k neighbours among n rows (n, d) float32, and how many it looks at.

    What it tells stands in the order of `nearest`. It looks at four cells of about sqrt(n) / 4 rows
    and at 2 k rows at least, and doubles that until it finds `TARGET` of the neighbours of a
    sample. Same generator, same device, same bits. Takes some 20 bytes a row, and once 2 d more
    and a gigabyte, for the sample.
    """
    n = len(x)
    count = max(1, min(int(4 * n**0.5), n // 39))
    found = cells(x, count, generator)
    reach = min(n, max(2 * k, 4 * n // count))
    sample = sampled(n, generator)
    exact = nearest(x, k, rows=sample)
    while reach < n and recall(gathered(_searching(x, found, k, reach), sample, k), exact) < TARGET:
        reach = min(n, 2 * reach)
    return _searching(x, found, k, reach), reach


def sampled(n: int, generator: torch.Generator) -> Tensor:
    """Draw `SAMPLE` of n rows, or all of fewer."""
    return torch.randperm(n, generator=generator, device=generator.device)[:SAMPLE]


def recall(found: Tensor, exact: Tensor) -> float:
    """Return the share of the exact neighbours (r, k) that were found (r, k), column 0 aside."""
    pairs = zip(found[:, 1:].tolist(), exact[:, 1:].tolist(), strict=True)
    return sum(len(set(a) & set(b)) for a, b in pairs) / max(1, exact[:, 1:].numel())


def _searching(x: Tensor, parts: Cells, k: int, reach: int) -> Search:
    def search(take: Take, rows: Tensor | None) -> None:
        asked = torch.arange(len(x), device=x.device) if rows is None else rows
        home = parts.label[asked]
        order = home.argsort(stable=True)
        groups = torch.split(order, torch.bincount(home, minlength=len(parts.sizes)).tolist())
        for cell, places in enumerate(groups):
            if len(places):
                near = parts.around(cell, reach)
                _among(x, near, asked[places], k, places, take)

    return search


def _among(x: Tensor, near: Tensor, own: Tensor, k: int, places: Tensor, take: Take) -> None:
    """Tell the k nearest of the rows `own` among the rows `near`, which are ascending."""

    def translate(some: Tensor, found: Tensor) -> None:
        take(places[some], near[found])

    tell_nearest(x[near], k, translate, rows=torch.searchsorted(near, own))
