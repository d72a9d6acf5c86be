"""How a stage tells people what it is doing. The console implements it; tests use `Silent`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running piece of work, counted in images (or in whatever `unit` says)."""

    def advance(self, images: int) -> None:
        """Count `images` more as done."""

    def line(self, text: str, more: str = "") -> None:
        """End an epoch: `text` captions the bar on a terminal; elsewhere a line says all."""


class Track(Protocol):
    """What every stage is given to report with."""

    def bar(
        self, title: str, total: int, *, done: int = 0, unit: str = "images"
    ) -> AbstractContextManager[Bar]:
        """Show progress towards `total`, of which `done` were done before."""

    def say(self, message: str) -> None:
        """Tell the person something worth knowing."""

    def warn(self, message: str) -> None:
        """Tell the person something that is likely to go wrong."""


class Silent:
    """A `Track` that keeps what was said and shows nothing."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0, unit: str = "images") -> Iterator[Bar]:
        """Show nothing."""
        yield self

    def advance(self, images: int) -> None:
        """Count nothing."""

    def line(self, text: str, more: str = "") -> None:
        """Keep the line."""
        self.said.append(f"{text}  {more}".rstrip())

    def say(self, message: str) -> None:
        """Keep the message."""
        self.said.append(message)

    def warn(self, message: str) -> None:
        """Keep the warning."""
        self.said.append(message)
