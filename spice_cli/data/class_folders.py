"""Folders of images that are called by their class, as ImageNet is unpacked."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.decoded import decode_once
from spice_cli.data.walk import SUFFIXES
from spice_cli.errors import MissingError

SHOWN = 5


def names_in(folder: Path) -> list[str]:
    """Return the names of the directories in a folder, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def files_in(folder: Path) -> list[Path]:
    """Return the images that lie in a folder itself, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith("."))
    return [folder / name for name in names if Path(name).suffix.lower() in SUFFIXES]


def by_class(split: Path, classes: Sequence[str], spec: DataSpec) -> list[list[Path]]:
    """Return the images of each class, from the folder of its name or `images` in that one.

    Raises MissingError that names classes without images.
    """
    found = [files_in(split / name) or files_in(split / name / "images") for name in classes]
    empty = [name for name, files in zip(classes, found, strict=True) if not files]
    if empty:
        some = ", ".join(f"`{name}`" for name in empty[:SHOWN]) + (", ..." if empty[SHOWN:] else "")
        raise MissingError(
            f"`{split}` has no images of {len(empty)} of the {len(classes)} classes of "
            f"`{spec.name}`: {some}",
            hint=f"they belong into folders of these names, as `{split / empty[0]}`",
        )
    return found


def labels_of(found: Sequence[Sequence[Path]]) -> list[int]:
    """Return the class of each image of `by_class`, one class after another."""
    return [label for label, files in enumerate(found) for _ in files]


def dataset(
    train: Sequence[Path],
    test: Sequence[Path],
    classes: Sequence[str],
    labels: Callable[[], list[int]],
    root: Path,
    spec: DataSpec,
    say: Say,
) -> Dataset:
    """Return the data set of images below `root`; `labels` are those of train and test images."""
    files = [(file.relative_to(root).as_posix(), file) for file in (*train, *test)]
    decoded = decode_once(files, len(train), spec, say)
    return Dataset(
        images=decoded.images,
        train=decoded.train,
        classes=len(classes),
        names=tuple(classes),
        paths=tuple(files[index][0] for index in decoded.kept.tolist()),
        bad=decoded.bad,
        mark=decoded.mark,
        read_labels=lambda: torch.tensor(labels())[decoded.kept],
    )
