"""How much a file may unpack to, and a cell of a column at most."""

from pathlib import Path

import pyarrow as pa

from spice_cli.data.decode import LARGEST

ROOMY, PACKED = 2**27, 8
"""Bytes that any file may unpack to; a large one, so many times what it takes on the disk."""


def most_unpacked(file: Path) -> int:
    """Return the bytes that a part of a file may unpack to; holes in it count for nothing."""
    seen = file.stat()
    taken = getattr(seen, "st_blocks", 0) * 512 or seen.st_size
    return max(ROOMY, PACKED * min(taken, seen.st_size))


def cell(values: pa.Array, row: int) -> bytes | None:
    """Return a copy of one cell of binary values, or None where it is empty or over `LARGEST`."""
    found = values[row].as_buffer()
    return None if found is None or found.size > LARGEST else found.to_pybytes()
