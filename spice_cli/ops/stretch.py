"""Rows gone through by several processes: which are whose, and what comes of all of them.

Every process holds all rows, and makes the same calls in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stretch:
    """The stretch of rows that is process `rank`'s among `world`; alone, all of them."""

    rank: int = 0
    world: int = 1
    gather: Callable[[Tensor], Tensor] = lambda own: own
    """From rows (r, ...) to those of all processes, one after another (world * r, ...)."""
    add: Callable[[list[Tensor]], None] = lambda tensors: None
    """Replaces each tensor by its sum over processes, the same bits in every one."""
    first: Callable[[list[Tensor]], None] = lambda tensors: None
    """Replaces each tensor by the first process's."""

    def of(self, n: int) -> slice:
        """Return which of n rows are this process's: as many as others', or at the end fewer."""
        each = -(-n // self.world)
        return slice(min(n, self.rank * each), min(n, (self.rank + 1) * each))

    def whole(self, own: Tensor, n: int) -> Tensor:
        """Return what is of all n rows (n, ...) from what is of each process's own (m, ...)."""
        if self.world == 1:
            return own
        padded = own.new_zeros(-(-n // self.world), *own.shape[1:])
        padded[: len(own)] = own
        return self.gather(padded)[:n]

    def sum(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over processes."""
        if self.world > 1:
            self.add(list(tensors))

    def agree(self, *tensors: Tensor) -> None:
        """Replace each tensor by the first process's, where a device may add up in any order."""
        if self.world > 1:
            self.first(list(tensors))


WHOLE = Stretch()


def rows_of(stretch: Stretch, like: Tensor) -> Tensor:
    """Return which rows of `like` (n, ...) are this process's, (m,) int64."""
    own = stretch.of(len(like))
    return torch.arange(own.start, own.stop, device=like.device)
