"""Whether a folder holds photographs, from the headers of a few of its files."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

from spice_cli.data.decode import dimensions
from spice_cli.data.links import bounds, inside
from spice_cli.data.walk import SUFFIXES

LOOKED_AT = 20
SMALLEST = 64
"""Pixels of the shorter side; networks for photographs see little in less."""


def photographs(folder: Path) -> bool:
    """Tell whether half of the first images below a directory are large enough to be photographs.

    A file, and a directory without any image that can be read, holds none.
    """
    if not folder.is_dir():
        return False
    sides = [side for file in islice(_images(folder), LOOKED_AT) if (side := _short(file))]
    return bool(sides) and median(sides) >= SMALLEST


def _images(folder: Path) -> Iterator[Path]:
    root = bounds(folder)
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file() and inside(path, root):
            yield path


def _short(file: Path) -> int:
    try:
        return min(dimensions(file))
    except Exception:
        # Pillow raises nearly anything on a corrupt file.
        return 0
