"""What a stage to come would take, and what all of them do."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One stage to come."""

    stage: str
    state: str
    """As `pending` says it."""
    what: str = ""
    seconds: tuple[float, float] | None = None
    """Least and most; None where nothing is to be done, or it was not measured."""
    memory: int = 0
    """Bytes at most, of each process."""
    disk: int = 0
    """Bytes that stay in the run."""
    peak: int = 0
    """Bytes that lie there at once before it is done."""


def total(lines: Sequence[Line]) -> tuple[float, float]:
    """Return the least and the most seconds of all lines."""
    known = [line.seconds for line in lines if line.seconds]
    return sum(low for low, _ in known), sum(high for _, high in known)


def disk(lines: Sequence[Line], runs: int = 1) -> tuple[int, int]:
    """Return the bytes that runs, done one after another, leave on the disk, and the most there."""
    most = left = 0
    for line in lines:
        most, left = max(most, left + line.peak), left + line.disk
    return runs * left, (runs - 1) * left + most
