"""What a search for neighbours is: something that tells them block by block."""

from collections.abc import Callable

import torch
from torch import Tensor

Take = Callable[[Tensor, Tensor], None]
"""Is told places (r,) int64 among the rows asked about, and the neighbours (r, k) int64 of those.

It is called once a block; every place is named once, in no particular order.
"""
Search = Callable[[Take, Tensor | None], None]
"""Tells the neighbours of some rows (m,) int64, or of all where that is None."""


def gathered(
    search: Search, rows: Tensor, k: int, progress: Callable[[int], None] = lambda rows: None
) -> Tensor:
    """Return the neighbours (m, k) int64 of rows (m,) that a search for k of them tells."""
    result = torch.empty(len(rows), k, dtype=torch.int64, device=rows.device)

    def take(places: Tensor, found: Tensor) -> None:
        result[places] = found
        progress(len(places))

    search(take, rows)
    return result
