"""How one backbone shares its work with the same one in other processes.

Each takes its rows of a batch, and the features of all rows, with their gradient, are gathered.
"""

from collections.abc import Callable
from copy import copy
from functools import cached_property
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from spice_cli.errors import UsageError
from spice_cli.models.backbone import Backbone
from spice_cli.ops.collective import gather, summed

Render = Callable[[Tensor], Tensor]


class _Uncompiled:
    """`torch.compiler.disable` of a method; the compiler, a second to load, is when it is used."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, share: "Share", kind: type) -> MethodType:
        return MethodType(self.disabled, share)

    @cached_property
    def disabled(self) -> Callable[..., Any]:
        """The method, which the compiler leaves alone."""
        disable: Any = torch.compiler.disable
        found: Callable[..., Any] = disable(self.function)
        return found


class Share:
    """What one backbone does in the process `rank` of `world`."""

    def __init__(self, backbone: Backbone, render: Render | None, *, rank: int, world: int) -> None:
        self.rank, self.world, self.render, self.rows = rank, world, render, 0
        self.parameters = [p for p in backbone.parameters() if p.requires_grad]
        self.pending = 0
        backbone.register_forward_pre_hook(self.take)
        backbone.register_forward_hook(self.give)
        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(self.ready)  # type: ignore[no-untyped-call]

    @_Uncompiled
    def take(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """Keep this process's rows of the inputs (n, ...), the first ones again where they end."""
        (rows,) = inputs
        world, rank = self.world, self.rank
        self.rows = len(rows)
        if module.training and len(rows) % world:
            raise UsageError(
                f"{len(rows)} images at a time cannot be dealt to {world} processes evenly",
                hint="another `batch_size`, or other `--devices`",
            )
        each = -(-len(rows) // world)
        own = rows[rank * each : (rank + 1) * each]
        if len(own) < each:
            own = torch.cat([own, rows[:1].expand(each - len(own), *rows.shape[1:])])
        if not own.is_floating_point():
            assert self.render is not None
            with torch.autocast(own.device.type, enabled=False):
                own = self.render(own)
        return (own,)

    @_Uncompiled
    def give(self, module: nn.Module, inputs: tuple[Tensor], features: Tensor) -> Tensor:
        """Return the features (n, d) of all rows."""
        return gather(features)[: self.rows]

    def ready(self, parameter: Tensor) -> None:
        """Count a gradient that is complete here; after the last of a backward pass sum them."""
        if not self.pending:
            engine = torch.autograd.Variable._execution_engine
            engine.queue_callback(self.sum)
        self.pending += 1

    def sum(self) -> None:
        """Sum the gradients over processes."""
        self.pending = 0
        summed([p.grad for p in self.parameters if p.grad is not None])

    def __deepcopy__(self, memo: dict[int, object]) -> "Share":
        """Return what a copy of the backbone uses, which is not trained."""
        own = copy(self)
        own.parameters = []
        return own
