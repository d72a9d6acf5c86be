"""Joining the processes that compute together, as their launcher's environment says."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore
from torch.distributed import distributed_c10d
from torch.distributed.rendezvous import rendezvous

from spice_cli.errors import MissingError, UsageError
from spice_cli.ops.collective import LostError, reaching
from spice_cli.stages.group import ALONE, Group, local, new_group
from spice_cli.stages.peers import JOINING, introduce, named

CONNECTING = timedelta(seconds=45)
"""How long processes that have all started take at most to reach one another."""
PATIENCE = timedelta(days=100)
"""How long a process waits for the first one's next stage; the launcher ends it if that dies."""
NUMBERS = ("WORLD_SIZE", "RANK", "MASTER_PORT")
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
        UsageError: another process was started otherwise than the first, or the environment does
            not say which of how many this one is.
    """
    _check_environment()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local() % torch.cuda.device_count())
    try:
        with reaching():
            return _met(on_gpu)
    except LostError as error:
        raise MissingError(
            f"{named(int(os.environ['RANK']))} could not reach the others: {error}",
            hint="on several hosts, name the network between them: `GLOO_SOCKET_IFNAME=eth0`"
            + (" and `NCCL_SOCKET_IFNAME=eth0`" if on_gpu else ""),
        ) from None


def _check_environment() -> None:
    """Raise UsageError unless a launcher's variables are all there and make sense."""
    said = {name: os.environ.get(name, "") for name in ("MASTER_ADDR", *NUMBERS)}
    wrong = [name for name in NUMBERS if not said[name].isdecimal()]
    wrong += [name for name in said if not said[name]]
    if not wrong and int(said["RANK"]) >= int(said["WORLD_SIZE"]):
        wrong = ["RANK"]
    if wrong:
        is_not = f"is `{said[wrong[0]]}`" if said[wrong[0]] else "is not set"
        raise UsageError(
            "`RANK` and `WORLD_SIZE` say that this is one of several processes, but "
            f"`{wrong[0]}` {is_not}",
            hint="`torchrun` sets them all; for one process alone: unset RANK WORLD_SIZE",
        )


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
    control = new_group(backend="gloo", timeout=PATIENCE)
    group = Group(rank, world, control, store=store)
    _joined.append(group)
    return group
