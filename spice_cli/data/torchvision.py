"""CIFAR-10, CIFAR-100 by its 20 superclasses and STL-10, out of torchvision's verified archives."""

import os
import socket
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from spice_cli.config import DataSpec
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.side import fit_all
from spice_cli.errors import MissingError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CIFAR100_20 = (
    ("aquatic mammals", (4, 30, 55, 72, 95)),
    ("fish", (1, 32, 67, 73, 91)),
    ("flowers", (54, 62, 70, 82, 92)),
    ("food containers", (9, 10, 16, 28, 61)),
    ("fruit and vegetables", (0, 51, 53, 57, 83)),
    ("household electrical devices", (22, 39, 40, 86, 87)),
    ("household furniture", (5, 20, 25, 84, 94)),
    ("insects", (6, 7, 14, 18, 24)),
    ("large carnivores", (3, 42, 43, 88, 97)),
    ("large man-made outdoor things", (12, 17, 37, 68, 76)),
    ("large natural outdoor scenes", (23, 33, 49, 60, 71)),
    ("large omnivores and herbivores", (15, 19, 21, 31, 38)),
    ("medium-sized mammals", (34, 63, 64, 66, 75)),
    ("non-insect invertebrates", (26, 45, 77, 79, 99)),
    ("people", (2, 11, 35, 46, 98)),
    ("reptiles", (27, 29, 44, 78, 93)),
    ("small mammals", (36, 50, 65, 74, 80)),
    ("trees", (47, 52, 56, 59, 96)),
    ("vehicles 1", (8, 13, 48, 58, 90)),
    ("vehicles 2", (41, 69, 81, 85, 89)),
)
"""The superclasses, in the order of their labels, and the fine labels of each."""

SECONDS = 20.0
"""How long a server may be silent."""


def cifar10(spec: DataSpec, say: Say) -> Dataset:
    """Return CIFAR-10: 50,000 train and 10,000 test images, 32 x 32 pixels, 10 classes."""
    return _dataset("CIFAR10", CIFAR10, spec, say)


def cifar100_20(spec: DataSpec, say: Say) -> Dataset:
    """Return CIFAR-100: 50,000 and 10,000 images, 32 x 32 pixels, labelled by 20 superclasses."""
    coarse = torch.empty(100, dtype=torch.int64)
    for label, (_, fine) in enumerate(CIFAR100_20):
        coarse[list(fine)] = label
    return _dataset("CIFAR100", tuple(name for name, _ in CIFAR100_20), spec, say, coarse)


def stl10(spec: DataSpec, say: Say) -> Dataset:
    """Return STL-10: 5,000 train and 8,000 test images, 96 x 96 pixels, 10 classes.

    Its 100,000 unlabelled images are left out, so pretraining sees fewer images than the paper's.
    """
    return _dataset("STL10", STL10, spec, say)


def _dataset(
    kind: str, names: tuple[str, ...], spec: DataSpec, say: Say, merge: Tensor | None = None
) -> Dataset:
    root = Path(spec.root or os.environ.get("SPICE_DATA") or "~/.cache/spice").expanduser()
    root = root.absolute()
    train, test = (_images(_fetch(kind, part, root, spec, say)) for part in ("train", "test"))

    def read_labels() -> Tensor:
        parts = [_fetch(kind, part, root, spec, say) for part in ("train", "test")]
        values = [part.labels if kind == "STL10" else part.targets for part in parts]
        labels = torch.from_numpy(np.concatenate(values).astype(np.int64))
        return labels if merge is None else merge[labels]

    return Dataset(
        images=fit_all(train, test, spec, say),
        train=len(train),
        classes=len(names),
        names=names,
        paths=None,
        bad=(),
        read_labels=read_labels,
    )


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Give up on a server that says nothing for so long; torchvision itself waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _images(part: Any) -> Tensor:
    images = torch.from_numpy(part.data)
    return images if images.shape[1] == 3 else images.permute(0, 3, 1, 2)


def _fetch(kind: str, part: str, root: Path, spec: DataSpec, say: Say) -> Any:
    make = getattr(datasets, kind)
    choice = {"split": part} if kind == "STL10" else {"train": part == "train"}
    try:
        return make(str(root), **choice, download=False)
    except RuntimeError:
        say(f"`{spec.name}` is not in `{root}`: downloading `{make.url}`")
    try:
        with redirect_stdout(sys.stderr), _patience(SECONDS):
            return make(str(root), **choice, download=True)
    except (OSError, RuntimeError, HTTPException, TarError, EOFError, zlib.error) as error:
        raise MissingError(
            f"`{spec.name}` is not in `{root}` and cannot be downloaded: {error}",
            hint=f"put `{make.filename}` from `{make.url}` into `{root}`",
        ) from error
