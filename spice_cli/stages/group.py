"""The processes that compute a stage together, one a device, and how they share its work.

All run the same stage on the same batches with the same random numbers. What is dealt out is the
work of the backbones: each process takes its rows of a batch through them, and the features of all
rows, with their gradient, are gathered. So whatever a method makes of features (projections,
negatives, queues, prototypes, losses) is made of the whole batch, in every process alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import Store
from torch.distributed import ProcessGroup

from spice_cli.errors import UsageError
from spice_cli.heads.deal import Deal
from spice_cli.models.backbone import Backbone
from spice_cli.models.shared_batch_norm import share_batch_norm
from spice_cli.ops.collective import alike, gathered, summed, told
from spice_cli.ops.stretch import WHOLE, Stretch
from spice_cli.stages.keepalive import keep_alive
from spice_cli.stages.launched import launched
from spice_cli.stages.share import Render, Share


@dataclass(frozen=True, eq=False)
class Group:
    """The place `rank` of a process among `world`; the first, 0, alone writes and speaks."""

    rank: int = 0
    world: int = 1
    control: ProcessGroup | None = None
    parts: dict[int, ProcessGroup | None] = field(default_factory=dict)
    store: Store | None = None

    def share(self, module: nn.Module, render: Render | None = None) -> None:
        """Deal the work of every `Backbone` in `module` out, from now on, with its gradients.

        A backbone is still called with all rows, and returns all. Whole numbers in place of pixels
        go through `render` first, which is called with this process's alone. Call it when the
        module is complete. Copies made later share as well, but for their gradients.
        """
        if self.world == 1:
            return
        for backbone in [each for each in module.modules() if isinstance(each, Backbone)]:
            share_batch_norm(backbone, self.world, self._group_of)
            Share(backbone, render, rank=self.rank, world=self.world)

    def rows(self, n: int, device: torch.device) -> Tensor | None:
        """Return which of n rows are this process's (m,) int64; none where there is one process."""
        return None if self.world == 1 else torch.arange(self.rank, n, self.world, device=device)

    def deal(self, heads: int) -> Deal:
        """Return which of so many independent heads this process trains."""
        return Deal(heads, self.rank, self.world, lambda rows: gathered(rows, self.world))

    @property
    def stretch(self) -> Stretch:
        """The rows of anything that this process goes through, where all hold all rows."""
        if self.world == 1:
            return WHOLE
        whole = partial(gathered, size=self.world)
        return Stretch(self.rank, self.world, whole, summed, alike)

    def sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over processes."""
        if self.world > 1:
            summed([tensor])

    def check_batch(self, batch: int, images: int) -> None:
        """Raise UsageError unless a batch of so many images at most can be dealt out evenly."""
        if batch % self.world:
            fitting = max(self.world, batch // self.world * self.world)
            fewer = f"--devices {images}" if images > 1 else "leave `--devices` out"
            raise UsageError(
                f"a batch of {batch} cannot be dealt to {self.world} processes evenly",
                hint=f"--set batch_size={fitting}" if fitting <= images else fewer,
            )

    @torch.no_grad()
    def settle(self, parts: Mapping[str, object]) -> None:
        """Bring the modules among `parts` to the same bits in every process.

        Running statistics of batch norms inside backbones become the mean over processes. All else
        is the first one's: it differs only where a device adds up in no fixed order.
        """
        if self.world == 1:
            return
        modules = [part for part in parts.values() if isinstance(part, nn.Module)]
        statistics = {
            id(tensor): tensor
            for module in modules
            for each in module.modules()
            if isinstance(each, Backbone)
            for tensor in each.buffers()
            if tensor.is_floating_point()
        }
        summed(list(statistics.values()))
        for tensor in statistics.values():
            tensor.div_(self.world)
        tensors = [t for m in modules for t in [*m.parameters(), *m.buffers()]]
        alike([tensor.detach() for tensor in tensors])

    def device(self, chosen: torch.device) -> torch.device:
        """Return this process's own device of the chosen type.

        Raises:
            UsageError: there are fewer GPUs here than processes.
        """
        if self.world == 1 or chosen.type != "cuda":
            return chosen
        if (there := torch.cuda.device_count()) < launched("LOCAL_WORLD_SIZE", 1):
            raise UsageError(
                f"more processes than GPUs, of which there are {there}",
                hint=f"--devices {there}" if there > 1 else "leave `--devices` out",
            )
        return torch.device("cuda", local())

    def told(self, text: str) -> str:
        """Return what the first process passes."""
        return text if self.world == 1 else told(text, self.control)

    def meet(self) -> None:
        """Wait until all processes are here, as long as that takes a host that reads its images."""
        if self.world > 1:
            summed([torch.zeros(())], self.control)

    def _group_of(self, parts: int) -> ProcessGroup | None:
        """Return the processes that hold one part of `parts` with this one; none: all."""
        if parts not in self.parts:
            size = self.world // parts
            starts = range(0, self.world, size) if parts > 1 else ()
            made = [new_group(list(range(first, first + size))) for first in starts]
            self.parts[parts] = made[self.rank // size] if made else None
        return self.parts[parts]


ALONE = Group()


def new_group(ranks: list[int] | None = None, **settings: Any) -> ProcessGroup | None:
    """Connect processes, all by default, so that it is noticed if one is gone."""
    made = dist.new_group(ranks, **settings)
    keep_alive()
    return made if isinstance(made, ProcessGroup) else None


def local() -> int:
    """Return the place of this process among those of its host."""
    return launched("LOCAL_RANK", 0)
