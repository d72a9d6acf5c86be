"""A directory of image files; class folders, `train/` and `test/` are optional."""

from pathlib import Path

import numpy as np
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say, as_labels
from spice_cli.data.decoded import decode_once
from spice_cli.data.spelling import text
from spice_cli.data.walk import SUFFIXES, told, tops, walk
from spice_cli.errors import MissingError


def folder(spec: DataSpec, say: Say) -> Dataset:
    """Return the images below the directory `spec.name`, in sorted order.

    `train/` beside `test/` (or else `val/`) are the splits, and what lies outside of them is left
    out. A split is labelled by its first level of directories where all of its images lie in
    one; class names are the sorted union over the splits, at least two. What else lies there is
    left out, and `say` told (`walk`). Raises MissingError where there are no images.
    """
    root = Path(spec.name).resolve()
    walks = [(split, walk(split, root)) for split in _splits(root)]
    for split, found in walks:
        if not found.images:
            raise _empty(split)
        if left := told(found.left):
            say(f"left out of `{split}`: {left}")
    splits = [(split, found.images) for split, found in walks]
    files = [file for _, found in splits for file in found]
    declared = {name for split, found in splits for name in _classes(split, found)} - {None}
    names = tuple(sorted(filter(None, declared))) if len(declared) > 1 else None
    paths = [text(file.relative_to(root).as_posix()) for file in files]
    named = list(zip(paths, files, strict=True))
    decoded = decode_once(named, len(splits[0][1]), spec, say)

    def read_labels() -> Tensor | None:
        if names is None:
            return None
        numbers = {name: number for number, name in enumerate(names)}
        classes = [name for split, found in splits for name in _classes(split, found)]
        labels = np.array([numbers[name] if name else -1 for name in classes])
        return as_labels(labels[decoded.kept.numpy()], "class folders")

    return Dataset(
        images=decoded.images,
        train=decoded.train,
        classes=None if names is None else len(names),
        names=names,
        paths=tuple(paths[index] for index in decoded.kept.tolist()),
        bad=decoded.bad,
        mark=decoded.mark,
        read_labels=read_labels,
    )


def unlabelled(root: Path) -> bool:
    """Tell whether `folder` would find images and no classes, by the names of directories alone."""
    found = [tops(split, root.resolve()) for split in _splits(root.resolve())]
    names = {name for some in found if None not in some for name in some}
    return all(found) and len(names) < 2


def _splits(root: Path) -> list[Path]:
    names = {path.name for path in root.iterdir() if path.is_dir() and not path.is_symlink()}
    tests = [name for name in ("test", "val") if name in names]
    return [root / "train", root / tests[0]] if "train" in names and tests else [root]


def _classes(split: Path, files: list[Path]) -> list[str | None]:
    parts = [file.relative_to(split).parts for file in files]
    labelled = all(len(part) > 1 for part in parts)
    return [text(part[0]) if labelled else None for part in parts]


def _empty(split: Path) -> MissingError:
    kinds = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
    inner = next((path.parent for path in sorted(split.rglob("*.parquet"))), None)
    hint = f"its Parquet files are read with `{inner}`" if inner else f"files may be {kinds}"
    return MissingError(f"`{split}` holds no images", hint=hint)
