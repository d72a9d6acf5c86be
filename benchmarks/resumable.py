"""Calls of the program that end in time and go on in the next call."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

GRACE = 40
"""Seconds that a process is given to stop."""


@dataclass(frozen=True)
class Step:
    """One call of `spice`."""

    part: str
    name: str
    arguments: tuple[str, ...]
    timed: bool = True
    """Whether its seconds count towards the part's goal."""

    @property
    def key(self) -> str:
        return f"{self.part}/{self.name}"


def perform(
    step: Step,
    record: dict[str, Any],
    deadline: float,
    program: Sequence[str] = (sys.executable, "-m", "spice_cli"),
) -> dict[str, Any]:
    """Run a step until it ends or the deadline (monotonic) comes; return its new record."""
    if record.get("arguments") != list(step.arguments):
        record = {"arguments": list(step.arguments), "seconds": 0.0, "attempts": 0, "done": False}
    if record["done"]:
        return record
    started = time.monotonic()
    process = subprocess.Popen([*program, *step.arguments], stdout=subprocess.PIPE, text=True)
    try:
        output = process.communicate(timeout=max(0.0, deadline - started))[0]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            output = process.communicate(timeout=GRACE)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
    found = {
        "seconds": record["seconds"] + time.monotonic() - started,
        "attempts": record["attempts"] + 1,
        "done": process.returncode == 0,
        "code": process.returncode,
    }
    if found["done"] and "--json" in step.arguments:
        found["scores"] = json.loads(output)
    return record | found
