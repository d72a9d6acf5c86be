"""How many processors this process may use."""

import os


def cores() -> int:
    """Return on how many cores this process may run, whatever its threads are set to."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
