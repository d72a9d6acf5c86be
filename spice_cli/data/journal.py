"""How far decoding has come, so that whoever goes on with it decodes the rest."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

BETWEEN = 2**26
"""Bytes of pixels that are decoded between two entries: the most that is lost."""

Flush = Callable[[int, int], None]


@dataclass
class Journal:
    """The entries of `file`: how many images were read so far, and the hash of the newest pixels.

    An entry is written once its pixels are on the disk, and believed only if they are still there.
    Where none can be written, it is done without.
    """

    file: Path | None
    """None: nothing is kept, for the pixels are not on a disk."""
    read: int = 0
    """Encoded images that were read."""
    bad: list[tuple[int, str]] = field(default_factory=list)
    """Which of them could not be, and what they are called."""
    flush: Flush | None = None
    """Brings the bytes of the images from one to another to the disk; None: they are on none."""

    @property
    def kept(self) -> int:
        """How many decoded images there are."""
        return self.read - len(self.bad)

    def resume(self, images: np.ndarray) -> None:
        """Take up the entries that the images (n, ...) bear out; forget the first that fails."""
        if self.file is None:
            return
        believed = []
        for line in self._lines():
            try:
                entry = json.loads(line)
                shape, read = entry["shape"], int(entry["read"])
                bad = [(int(index), str(name)) for index, name in entry["bad"]]
                end = self.kept + read - self.read - len(bad)
                right = shape == list(images.shape) and self.read < read and end <= len(images)
                if not right or entry["sha256"] != _hash(images[self.kept : end]):
                    break
            except (ValueError, KeyError, TypeError):
                break
            self.read, self.bad = read, self.bad + bad
            believed.append(line)
        self.file.write_text("".join(f"{line}\n" for line in believed), encoding="utf-8")

    def due(self, read: int, images: np.ndarray) -> bool:
        """Whether so many images read make another entry."""
        return self.file is not None and (read - self.read) * images[0].nbytes >= BETWEEN

    def add(self, read: int, bad: list[tuple[int, str]], images: np.ndarray) -> None:
        """Note that `read` images were read, and that those in `bad` are all that could not be."""
        if self.file is None:
            return
        before, new = self.kept, bad[len(self.bad) :]
        self.read, self.bad = read, list(bad)
        entry = {
            "shape": list(images.shape),
            "read": read,
            "bad": new,
            "sha256": _hash(images[before : self.kept]),
        }
        try:
            if self.flush is not None:
                self.flush(before * images[0].nbytes, self.kept * images[0].nbytes)
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            self.file = None

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text(encoding="utf-8").splitlines() if self.file else []
        except (OSError, ValueError):
            return []


def _hash(images: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(images).data).hexdigest()
