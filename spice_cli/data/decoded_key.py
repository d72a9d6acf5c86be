"""What decoded images are kept under: their sources, how large they are, and who decoded them."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

VERSION = 4
"""Of what is kept; another one is kept under another key."""
SUFFIXES = (".npy", ".json", ".lock", ".progress", ".partial", ".unfinished")
"""Of the files that versions before this one left, each named by its key."""


def key_of(sources: Sequence[Path], size: int | None, total: int) -> str:
    """Return the key of `total` images of a size, from the paths, sizes and times of `sources`."""
    return _key(VERSION, _facts(sources), size, total)


def remove_earlier(folder: Path, sources: Sequence[Path], size: int | None, total: int) -> int:
    """Remove what earlier versions kept of the same images in `folder`; return its bytes."""
    freed, facts = 0, _facts(sources)
    keys = [_key(version, facts, size, total) for version in range(2, VERSION)]
    for file in (folder / f"{key}{suffix}" for key in keys for suffix in SUFFIXES):
        with suppress(OSError):
            taken = file.lstat().st_size
            file.unlink()
            freed += taken
    return freed


def _facts(sources: Sequence[Path]) -> list[tuple[str, int, int]]:
    return [
        (os.fsencode(file.absolute()).hex(), seen.st_size, seen.st_mtime_ns)
        for file in sources
        if (seen := file.stat())
    ]


def _key(version: int, facts: list[tuple[str, int, int]], size: int | None, total: int) -> str:
    return sha256(json.dumps([version, size, total, facts]).encode()).hexdigest()[:32]
