"""The processes that compute a stage together, one a device, and how they share its work.

All run the same stage on the same batches with the same random numbers. What is dealt out is the
work of the backbones: each process takes its rows of a batch through them, and the features of all
rows, with their gradient, are gathered. So whatever a method makes of features (projections,
negatives, queues, prototypes, losses) is made of the whole batch, in every process alike.
"""

import os
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed import ProcessGroup, distributed_c10d
from torch.distributed.rendezvous import rendezvous

from spice_cli.errors import MissingError, UsageError
from spice_cli.heads.deal import Deal
from spice_cli.models.backbone import Backbone
from spice_cli.models.shared_batch_norm import share_batch_norm
from spice_cli.ops.collective import LostError, alike, gather, gathered, reaching, summed, told
from spice_cli.stages.keepalive import keep_alive
from spice_cli.stages.peers import JOINING, introduce, named

Render = Callable[[Tensor], Tensor]
CONNECTING = timedelta(seconds=45)
"""How long processes that have all started take at most to reach one another."""
PATIENCE = timedelta(days=100)
"""How long a process waits for the first one's next stage; the launcher ends it if that dies."""


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
            try:
                share_batch_norm(backbone, self.world, self._group_of)
            except ValueError as error:
                raise UsageError(
                    str(error), hint=f"other `--devices`, or `--set splits={self.world}`"
                ) from None
            _Share(self, backbone, render)

    def rows(self, n: int, device: torch.device) -> Tensor | None:
        """Return which of n rows are this process's (m,) int64; none where there is one process."""
        return None if self.world == 1 else torch.arange(self.rank, n, self.world, device=device)

    def deal(self, heads: int) -> Deal:
        """Return which of so many independent heads this process trains."""
        return Deal(heads, self.rank, self.world, lambda rows: gathered(rows, self.world))

    def sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over processes."""
        if self.world > 1:
            summed([tensor])

    def check_batch(self, batch: int) -> None:
        """Raise UsageError unless a batch can be dealt out evenly."""
        if batch % self.world:
            fitting = max(self.world, batch // self.world * self.world)
            raise UsageError(
                f"a batch of {batch} cannot be dealt to {self.world} processes evenly",
                hint=f"--set batch_size={fitting}",
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
        if (there := torch.cuda.device_count()) < int(os.environ.get("LOCAL_WORLD_SIZE", 1)):
            raise UsageError(
                f"more processes than GPUs, of which there are {there}",
                hint=f"--devices {there}" if there > 1 else "leave `--devices` out",
            )
        return torch.device("cuda", _local())

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
            made = [_new_group(list(range(first, first + size))) for first in starts]
            self.parts[parts] = made[self.rank // size] if made else None
        return self.parts[parts]


class _Share:
    """What one backbone does in one of several processes."""

    def __init__(self, group: Group, backbone: Backbone, render: Render | None) -> None:
        self.group, self.render, self.rows = group, render, 0
        self.parameters = [p for p in backbone.parameters() if p.requires_grad]
        self.pending = 0
        backbone.register_forward_pre_hook(self.take)
        backbone.register_forward_hook(self.give)
        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(self.ready)  # type: ignore[no-untyped-call]

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def take(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """Keep this process's rows of the inputs (n, ...), the first ones again where they end."""
        (rows,) = inputs
        world, rank = self.group.world, self.group.rank
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

    @torch.compiler.disable  # type: ignore[untyped-decorator]
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

    def __deepcopy__(self, memo: dict[int, object]) -> "_Share":
        """Return what a copy of the backbone uses, which is not trained."""
        own = copy(self)
        own.parameters = []
        return own


ALONE = Group()
_joined = [ALONE]


def current() -> Group:
    """Return the group that this process has joined, or itself alone."""
    return _joined[-1]


def join() -> Group:
    """Join the processes that `torchrun` started, as its variables in the environment say.

    On one host a restarted attempt meets in the same store as the one before it, some versions of
    torch forgetting to tell them apart; so their keys are. For several hosts, whose counts of
    restarts may differ, see docs/devices.md.

    Raises:
        MissingError: another process cannot be reached.
        UsageError: another process was started otherwise than the first.
    """
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(_local() % torch.cuda.device_count())
    try:
        with reaching():
            return _met(on_gpu)
    except LostError as error:
        raise MissingError(
            f"{named(int(os.environ['RANK']))} could not reach the others: {error}",
            hint="on several hosts, name the network between them: `GLOO_SOCKET_IFNAME=eth0`"
            + (" and `NCCL_SOCKET_IFNAME=eth0`" if on_gpu else ""),
        ) from None


def _met(on_gpu: bool) -> Group:
    store, rank, world = next(rendezvous("env://", timeout=JOINING))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt-{attempt}", store)
    introduce(store, rank, world)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=CONNECTING)
    change = getattr(distributed_c10d, "set_timeout", None) or distributed_c10d._set_pg_timeout
    change(dist.default_pg_timeout)
    control = _new_group(backend="gloo", timeout=PATIENCE)
    group = Group(rank, world, control, store=store)
    _joined.append(group)
    return group


def restarted() -> bool:
    """Whether `torchrun` starts this anew after a failure, so that finished work stays."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _new_group(ranks: list[int] | None = None, **settings: Any) -> ProcessGroup | None:
    made = dist.new_group(ranks, **settings)
    keep_alive()
    return made if isinstance(made, ProcessGroup) else None


def _local() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))
