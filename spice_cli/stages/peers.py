"""What the processes of a group tell one another by their launcher's store, beside computing."""

import json
import shlex
import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta

import torch
from torch._C._distributed_c10d import Store

from spice_cli import __version__
from spice_cli.errors import UsageError
from spice_cli.stages.launched import launched

JOINING = timedelta(minutes=5)
"""How long a process that has started waits for the others to start."""
HEARD = 3.0
"""Seconds that the first process, which may hold the store, lets the others read it."""
REASON = "reason"
SHARED = "every host has to see the same run and the same images, at the same paths"


def introduce(store: Store, rank: int, world: int) -> None:
    """Tell the others how this process was started, and see that it is how the first one was.

    Raises:
        UsageError: one runs other arguments or another version, or lacks an accelerator.
    """
    if rank == 0:
        store.delete_key(REASON)
    store.set(f"process-{rank}", json.dumps(_self()))
    first = json.loads(store.get("process-0"))
    for each in range(1, world) if rank == 0 else (rank,):
        other = json.loads(store.get(f"process-{each}"))
        for what in ("`spice`", "`torch`", "accelerator", "arguments"):
            if other[what] != first[what]:
                time.sleep(HEARD if rank == 0 else 0)
                raise UsageError(
                    f"process {each} on `{other['host']}` was started with {what} "
                    f"`{other[what]}`, the first one on `{first['host']}` with `{first[what]}`",
                    hint="start the same command, of the same versions, on every host",
                )


def named(rank: int) -> str:
    """Say which process this is, and where if there are several hosts."""
    return f"process {rank}" + (f" on `{socket.gethostname()}`" if several_hosts() else "")


def several_hosts() -> bool:
    """Whether the launcher started processes on more than one host."""
    return launched("GROUP_WORLD_SIZE", 1) > 1


def leave(store: Store | None, reason: str) -> None:
    """Leave word of why this process is about to end."""
    with suppress(RuntimeError):
        if store is not None:
            store.set(REASON, reason)


def reason(store: Store | None) -> str:
    """Return the word that a process left which is gone; nothing where there is none."""
    with suppress(RuntimeError):
        if store is not None and store.check([REASON]):
            return store.get(REASON).decode()
    return ""


def _self() -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "`spice`": __version__,
        "`torch`": torch.__version__,
        "accelerator": "cuda" if torch.cuda.is_available() else "none",
        "arguments": shlex.join(sys.argv[1:]),
    }
