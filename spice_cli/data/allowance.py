"""Bytes that threads hold together, however many of them there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Allowance:
    """So many bytes for all threads: whoever needs more of them than are left waits."""

    def __init__(self, most: int) -> None:
        self.most, self.taken, self.freed = most, 0, Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Hold so many bytes until the block ends.

        Raises:
            ValueError: there will never be so many.
        """
        if size > self.most:
            raise ValueError(f"{size / 2**20:,.0f} MiB are needed, over {self.most / 2**20:,.0f}")
        with self.freed:
            self.freed.wait_for(lambda: self.taken + size <= self.most)
            self.taken += size
        try:
            yield
        finally:
            with self.freed:
                self.taken -= size
                self.freed.notify_all()
