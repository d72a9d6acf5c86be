"""Which files below a directory are images, and what else lies there."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from spice_cli.data.links import bounds, inside
from spice_cli.errors import InvalidError

SUFFIXES = {
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm",
}  # fmt: skip
"""What the names of image files end in, in small letters."""
SHOWN = 4


@dataclass(frozen=True)
class Found:
    """What a walk came upon."""

    images: list[Path]
    """In sorted order."""
    left: Counter[str]
    """How many others were left out, by what they are: `hidden`, `links`, or what they end in."""


def walk(split: Path, root: Path) -> Found:
    """List the image files below a directory; errors and what is left out as in `images_below`."""
    left = Counter[str]()
    return Found([*images_below(split, root, left)], +left)


def images_below(split: Path, root: Path, left: Counter[str]) -> Iterator[Path]:
    """Yield the image files below a directory, sorted, and count in `left` what is none of them.

    Hidden files and directories, links to directories (so that no loop is ever entered), links that
    lead out of `root` or nowhere, and what is no regular file are left out. Raises InvalidError for
    a directory that cannot be read, when it is come to.
    """
    root, within = bounds(root), [iter(_entries(split))]
    while within:
        for entry in within[-1]:
            if _is_folder(entry):
                within.append(iter(_entries(entry.path)))
                break
            if other := _other(entry, root):
                left[other] += 1
            else:
                yield Path(entry.path)
        else:
            within.pop()


def tops(split: Path, root: Path) -> set[str | None]:
    """Name the directories in `split` with images below them; None where images lie in no such one.

    Only looks until it has found an image in each. Errors as in `images_below`.
    """
    found, root = set[str | None](), bounds(root)
    for entry in _entries(split):
        if _is_folder(entry):
            below = images_below(Path(entry.path), root, Counter())
            found |= {entry.name for _ in islice(below, 1)}
        elif not _other(entry, root):
            found.add(None)
    return found


def told(left: Counter[str]) -> str:
    """Spell what was left out, the most frequent endings first; nothing where nothing was."""
    hidden, links = left["hidden"], left["links"]
    parts = [f"{hidden:,} hidden"] if hidden else []
    parts += [f"{links:,} links to directories or out of it"] if links else []
    others = [(e, n) for e, n in left.most_common() if e not in ("hidden", "links")]
    if others:
        some = " ".join(f"{ending} ({count:,})" for ending, count in others[:SHOWN])
        more = " ..." if others[SHOWN:] else ""
        parts.append(f"{sum(count for _, count in others):,} that are no images: {some}{more}")
    return "; ".join(parts)


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidError(f"`{error.filename}` cannot be read: {error.strerror}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and _is(entry.is_dir) and not entry.is_symlink()


def _other(entry: os.DirEntry[str], root: Path) -> str:
    """Say what an entry that is no folder is instead of an image; nothing of an image."""
    if entry.name.startswith("."):
        return "hidden"
    if _is(entry.is_dir):
        return "links"
    if (ending := _ending(entry.name)) not in SUFFIXES:
        return ending or "no ending"
    if entry.is_symlink() and not inside(Path(entry.path), root):
        return "links"
    return "" if _is(entry.is_file) else "no regular file"


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link to itself
        return False


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if stem and dot and ending else ""
