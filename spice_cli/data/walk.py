"""Which files below a directory are images, and what else lies there."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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
    """List the image files below a directory.

    Hidden files and directories, links to directories (so that no loop is ever entered), links that
    lead out of `root` or nowhere, and what is no regular file are left out. Raises InvalidError for
    a directory that cannot be read.
    """
    images, left = list[Path](), Counter[str]()
    for folder, below, files in os.walk(split, onerror=_unreadable):
        left["hidden"] += sum(name.startswith(".") for name in (*below, *files))
        below[:] = [name for name in below if not name.startswith(".")]
        left["links"] += sum(Path(folder, name).is_symlink() for name in below)
        for name in (name for name in files if not name.startswith(".")):
            path = Path(folder, name)
            ending = path.suffix.lower()
            if ending not in SUFFIXES:
                left[ending or "no ending"] += 1
            elif path.is_symlink() and not _inside(path, root):
                left["links"] += 1
            elif not path.is_file():
                left["no regular file"] += 1
            else:
                images.append(path)
    return Found(sorted(images, key=lambda path: path.parts), +left)


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


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _unreadable(error: OSError) -> None:
    raise InvalidError(f"`{error.filename}` cannot be read: {error.strerror}") from error
