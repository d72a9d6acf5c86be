"""Which run a command is about."""

import os
import sys
from pathlib import Path

from spice_cli.console import say
from spice_cli.errors import InvalidError, MissingError

MANIFEST = "run.json"
RUNS = Path("runs")


def named(run: Path | None) -> Path | None:
    """Return the run that was named, by flag, environment or stdin, or that we stand in."""
    if run == Path("-"):
        return _stdin()
    if run is None and Path(MANIFEST).is_file():
        return Path()
    return run


def locate(run: Path | None) -> Path:
    """Return the run that was named, else the newest in `./runs`."""
    path = named(run)
    if path is not None:
        return path
    found = sorted(RUNS.glob(f"*/{MANIFEST}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise MissingError(
            "no run here: neither `--run`, `SPICE_RUN`, this directory nor `./runs` names one",
            hint="spice pretrain digits",
        )
    path = found[-1].parent
    say(f"run {path}")
    return path


def _stdin() -> Path:
    line = b"" if sys.stdin.isatty() else sys.stdin.buffer.readline().strip()
    if not line:
        raise MissingError("stdin named no run", hint="did the stage before fail?")
    if b"\0" in line:
        raise InvalidError("stdin named no path: there is a zero byte in it", hint="--run PATH")
    return Path(os.fsdecode(line))
