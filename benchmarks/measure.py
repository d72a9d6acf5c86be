"""What a bench returns, and how two ways are timed fairly."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """Ours beside a peer's, on the same work in the same run."""

    what: str
    """The work, in a few words."""
    peer: str
    """Who else did it."""
    n: str
    """How much work: images, rows, dimensions, clusters."""
    ours: list[float]
    """Seconds of each repeat."""
    theirs: list[float]
    """Seconds of each of the peer's repeats; empty where there is no peer."""
    goal: float | None = None
    """How many times faster ours is meant to be."""
    units: float | None = None
    """Pieces of work in a repeat (images, views ...); given, rates are shown beside seconds."""
    note: str = ""
    """What must be known to read it: equality that was checked, extrapolation, memory."""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is, by the medians."""
        return median(self.theirs) / median(self.ours) if self.theirs else None


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int = 5
) -> tuple[list[float], list[float]]:
    """Warm both up once, then time them in turns, so that a slow minute hits both."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
