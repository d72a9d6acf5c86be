"""Computing on several devices: starting a process for each, and what each of them does."""

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from spice_cli.console import fail
from spice_cli.cores import cores
from spice_cli.stopping import GOES_ON, explained

NOTICED = 1.5
"""Seconds in which the launcher notices that another process has ended."""


def _spread(devices: int) -> int:
    if devices > 1 and not _started():
        raise typer.Exit(_launch(devices))
    return devices


DevicesOption = Annotated[
    int,
    typer.Option(
        "--devices",
        min=1,
        is_eager=True,
        callback=_spread,
        help="Compute with a process for each of so many GPUs (or shares of the CPU), "
        "as `torchrun --nproc-per-node` does.",
    ),
]


def together(command_line: Callable[[], None]) -> None:
    """Run the command line; in a process that `torchrun` started, as one of several.

    The first of them is the command. The others compute with it, and neither read the command line
    nor write anything.
    """
    if not _started():
        command_line()
        return
    from spice_cli.stages.assist import dismiss, serve
    from spice_cli.stages.join import join

    try:
        with explained():
            group = join()
            if group.rank:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                serve(group)
                end(0)
    except typer.Exit as stop:
        end(stop.exit_code)
    try:
        command_line()
    except SystemExit as stop:
        if not stop.code:
            dismiss(group)
        end(stop.code)


def end(code: str | int | None) -> NoReturn:
    """End this process at once, without taking the interpreter down first.

    After a failure a moment later, so that the launcher notices first what ended first.

    A thread of gloo may still hold a tensor of the last exchange, and abort the process if it lets
    go of it while Python comes down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        time.sleep(NOTICED)
    os._exit(code if isinstance(code, int) else int(code is not None))


def _started() -> bool:
    """Whether a launcher started this as one of several, and so gave it a rank."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def _launch(devices: int) -> int:
    """Start this command in `devices` processes by torch's elastic launcher; return its exit code.

    A process that fails ends the others; signals are passed on to all.
    """
    os.environ.setdefault("LOGLEVEL", "CRITICAL")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // devices)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "spice_cli", *sys.argv[1:])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code: int = failure.exitcode
        if code >= 0:
            return code
        fail(f"process {rank} was ended by {signal.Signals(-code).name}", GOES_ON)
        return 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0
