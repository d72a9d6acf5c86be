"""Independent heads dealt out to several processes: which are whose, and all of them together.

Every process draws all heads and the same batches, and trains its own heads. Each has as many;
where they do not come out even, the last head is trained more than once and counts once.

Heads lie along the first axis of a tensor, unless its module has an entry for it in `axes`.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Deal:
    """The share of process `rank` among `world`; alone, everything."""

    heads: int = 1
    """Of all processes."""
    rank: int = 0
    world: int = 1
    gather: Callable[[Tensor], Tensor] = lambda rows: rows
    """From rows (r, ...) to those of all processes, one after another (world * r, ...)."""

    def own(self, tensor: Tensor, axis: int = 0) -> Tensor:
        """Return this process's heads out of all; a number (), which is no head's, as it is."""
        if self.world == 1 or not tensor.dim():
            return tensor
        each = -(-self.heads // self.world)
        places = torch.arange(self.rank * each, (self.rank + 1) * each, device=tensor.device)
        return tensor.index_select(axis, places.clamp(max=self.heads - 1))

    def whole(self, tensor: Tensor, axis: int = 0) -> Tensor:
        """Return all heads from each process's own; all processes have to call it."""
        if self.world == 1 or not tensor.dim():
            return tensor
        return self.gather(tensor.movedim(axis, 0))[: self.heads].movedim(0, axis).contiguous()

    def keep(self, module: M) -> M:
        """Return the module of all heads after leaving it only this process's."""
        return self._changed(module, self.own)

    def joined(self, module: M) -> M:
        """Return the module of all heads from each process's own; all have to call it."""
        return module if self.world == 1 else self._changed(deepcopy(module), self.whole)

    @torch.no_grad()
    def _changed(self, module: M, change: Callable[[Tensor, int], Tensor]) -> M:
        if self.world > 1:
            for tensor, axis in axes(module):
                tensor.data = change(tensor, axis)
        return module


ALL = Deal()


def axes(module: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Go through the parameters and buffers of a module of heads, each with its axis of heads."""
    for each in module.modules():
        tensors = [*each.named_parameters(recurse=False), *each.named_buffers(recurse=False)]
        for name, tensor in tensors:
            yield tensor, getattr(each, "axes", {}).get(name, 0)
