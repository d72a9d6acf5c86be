"""WebDataset tars: samples are members of one stem, their images by what the names end in.

https://github.com/webdataset/webdataset#the-webdataset-format
"""

import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say, as_labels
from spice_cli.data.decode import LARGEST
from spice_cli.data.decoded import keep_decoded
from spice_cli.data.encoded import Item
from spice_cli.data.links import own_files
from spice_cli.data.spelling import text
from spice_cli.data.walk import SUFFIXES
from spice_cli.errors import InvalidError, MissingError

LABEL, DIGITS = ".cls", 16


@dataclass(frozen=True)
class Member:
    """An image in a tar: its bytes lie there as they are."""

    name: str
    start: int
    size: int
    label: tuple[int, int] | None
    """Where the number of its class lies: start and size."""


def tar(spec: DataSpec, say: Say) -> Dataset:
    """Return the images of a tar, or of a directory of them, in the order in which they lie there.

    In a directory `train*` beside `test*` (or else `val*`) are the splits. Nothing is unpacked:
    only plain members are read, where they lie, and a compressed tar is refused. The label of an
    image is the whole number in the member `.cls` of its stem. Raises MissingError where there are
    no images, InvalidError where a tar is corrupt.
    """
    source = Path(spec.name)
    train, test = _files(source)
    found = {file: _members(file, say) for file in (*train, *test)}
    members = [(file, member) for file, some in found.items() for member in some]
    if not members:
        kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise MissingError(f"`{source}` holds no images", hint=f"members may be {kinds}")
    names = [
        member.name if source.is_file() else f"{file.name}:{member.name}"
        for file, member in members
    ]

    def items() -> Iterator[Item]:
        at = 0
        for file, some in found.items():
            with file.open("rb") as opened:
                for member in some:
                    yield names[at], _read(opened, member.start, member.size)
                    at += 1

    count = sum(len(found[file]) for file in train)
    decoded = keep_decoded(items, list(found), count, len(members), spec, say)

    def read_labels() -> Tensor | None:
        labels = [label for file, some in found.items() for label in _labels(file, some)]
        return as_labels(np.array(labels)[decoded.kept.numpy()], f"labels of `{source}`")

    return Dataset(
        images=decoded.images,
        train=decoded.train,
        classes=None,
        names=None,
        paths=tuple(names[index] for index in decoded.kept.tolist()),
        bad=decoded.bad,
        mark=decoded.mark,
        read_labels=read_labels,
    )


def tars_in(directory: Path) -> list[Path]:
    """Return the tars that lie in a directory, sorted by name."""
    return own_files(directory, ".tar")


def _files(source: Path) -> tuple[list[Path], list[Path]]:
    if source.is_file():
        return [source], []
    files = tars_in(source)
    train = [file for file in files if file.name.lower().startswith("train")]
    for name in ("test", "val"):
        test = [file for file in files if file.name.lower().startswith(name)]
        if train and test:
            return train, test
    return files, []


def _members(file: Path, say: Say) -> list[Member]:
    images: list[tuple[str, tarfile.TarInfo]] = []
    labels: dict[str, tuple[int, int]] = {}
    left = 0
    try:
        with tarfile.open(file, mode="r:") as opened:
            for info in opened:
                path = PurePosixPath(info.name)
                ending = path.suffix.lower()
                hidden = any(part.startswith(".") for part in path.parts)
                if ending not in SUFFIXES and ending != LABEL:
                    continue
                if not info.isreg() or info.issparse() or hidden or path.is_absolute():
                    left += 1
                elif ending == LABEL:
                    labels[_stem(info.name)] = (info.offset_data, info.size)
                else:
                    images.append((info.name, info))
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise InvalidError(
            f"`{file}` is not a readable tar: {error}",
            hint=f"look at it with `tar tf {shlex.quote(str(file))}`",
        ) from error
    if left:
        say(f"left out of `{file}`: {left:,} that are hidden, links, or named out of it")
    return [
        Member(text(name), info.offset_data, info.size, labels.get(_stem(name)))
        for name, info in images
    ]


def _stem(name: str) -> str:
    """Return the name up to the first dot of its last part, as WebDataset groups members."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def _labels(file: Path, members: list[Member]) -> Iterator[int]:
    with file.open("rb") as opened:
        for member in members:
            start, size = member.label or (0, 0)
            text = _read(opened, start, min(size, DIGITS)) or b""
            yield int(text) if text.strip().isdigit() else -1


def _read(file: BinaryIO, start: int, size: int) -> bytes | None:
    """Return bytes of a file, or None where they are too many or not all there."""
    if size > LARGEST:
        return None
    file.seek(start)
    content = file.read(size)
    return content if len(content) == size else None
