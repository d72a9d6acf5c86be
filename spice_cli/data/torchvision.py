"""CIFAR-10, CIFAR-100 by its classes or superclasses, and STL-10, out of torchvision's archives."""

import socket
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from tarfile import TarError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets import cifar

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.names import CIFAR10, CIFAR100, CIFAR100_20, STL10
from spice_cli.data.plain_pickle import plain_pickles
from spice_cli.data.root import root_of
from spice_cli.data.side import fit_all
from spice_cli.errors import InvalidError, MissingError

SECONDS = 20.0
"""How long a server may be silent."""


def cifar10(spec: DataSpec, say: Say) -> Dataset:
    """Return CIFAR-10: 50,000 train and 10,000 test images, 32 x 32 pixels, 10 classes."""
    return _dataset("CIFAR10", CIFAR10, spec, say)


def cifar100(spec: DataSpec, say: Say) -> Dataset:
    """Return CIFAR-100: 50,000 train and 10,000 test images, 32 x 32 pixels, 100 classes."""
    return _dataset("CIFAR100", CIFAR100, spec, say)


def cifar100_20(spec: DataSpec, say: Say) -> Dataset:
    """Return CIFAR-100 by its 20 superclasses: 50,000 train and 10,000 test images, 32 x 32."""
    coarse = torch.empty(100, dtype=torch.int64)
    for label, (_, fine) in enumerate(CIFAR100_20):
        coarse[list(fine)] = label
    return _dataset("CIFAR100", tuple(name for name, _ in CIFAR100_20), spec, say, merge=coarse)


def stl10(spec: DataSpec, say: Say) -> Dataset:
    """Return STL-10: 5,000 train, 8,000 test and 100,000 unlabelled images, 96 x 96, 10 classes.

    Pretraining alone sees the unlabelled ones, beside train and test images under protocol `whole`
    (113,000) and beside train images under `split` (105,000), as SPICE and SCAN pretrain.
    """
    return _dataset("STL10", STL10, spec, say, unlabelled="unlabeled")


def _dataset(
    kind: str,
    names: tuple[str, ...],
    spec: DataSpec,
    say: Say,
    *,
    merge: Tensor | None = None,
    unlabelled: str | None = None,
) -> Dataset:
    root = root_of(spec)
    train, test = (_images(_fetch(kind, part, root, spec, say)) for part in ("train", "test"))
    before = _images(_fetch(kind, unlabelled, root, spec, say)) if unlabelled else None
    pool = fit_all(train, test, spec, say, before=before)

    def read_labels() -> Tensor:
        parts = [_fetch(kind, part, root, spec, say) for part in ("train", "test")]
        values = [part.labels if kind == "STL10" else part.targets for part in parts]
        labels = torch.from_numpy(np.concatenate(values).astype(np.int64))
        return labels if merge is None else merge[labels]

    return Dataset(
        images=pool if before is None else pool[len(before) :],
        train=len(train),
        classes=len(names),
        names=names,
        paths=None,
        bad=(),
        read_labels=read_labels,
        pool=None if before is None else pool,
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
        with plain_pickles(cifar):
            return _made(make, root, choice, spec, say)
    except UnpicklingError as error:
        raise InvalidError(
            f"the batches of `{spec.name}` in `{root}` are not what they should be: {error}",
            hint=f"remove them, and put `{make.filename}` from `{make.url}` there",
        ) from error


def _made(make: Any, root: Path, choice: dict[str, Any], spec: DataSpec, say: Say) -> Any:
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
