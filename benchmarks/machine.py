"""What a figure was measured on."""

import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """Return the processor's name."""
    with suppress(OSError):
        if names := re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
            return str(names[0])
    return platform.processor() or platform.machine()


def revision() -> str:
    """Return the revision of the tree that holds this file, and whether it was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    with suppress(OSError, subprocess.CalledProcessError):
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        return f"revision {told.stdout.strip()}"
    return "no revision"
