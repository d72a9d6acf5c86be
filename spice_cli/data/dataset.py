"""What every source returns: images in memory, and labels behind a door that stays shut."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.errors import InvalidError, UsageError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Dataset:
    """Images, train rows first, then test rows.

    `images` is (n, 3, h, w) uint8, contiguous, maybe mapped from a file. Labels are neither
    read nor decoded before `read_labels` is called, which only `stages/evaluate.py` does.
    """

    images: Tensor
    train: int
    """Rows trained on: all n under protocol `whole`, the train split's under `split`."""
    classes: int | None
    """How many the data set declares without a look at its labels."""
    names: tuple[str, ...] | None
    """Class names, label 0 first."""
    paths: tuple[str, ...] | None
    """One name an image: its path below the directory."""
    bad: tuple[str, ...]
    """Images that could not be read and were left out."""
    read_labels: Callable[[], Tensor | None]
    """(n,) int64 aligned with `images`, -1 where an image has none; None where none has one."""
    test: int = 0
    """Rows at the end that belong to the test split, whatever the protocol."""
    pool: Tensor | None = None
    """`images` after u more (u + n, 3, h, w) that pretraining alone sees; None where u is 0."""
    mark: str | None = None
    """The fingerprint of all pixels, where the source knows it."""

    @property
    def n(self) -> int:
        """Number of images that every stage sees."""
        return len(self.images)

    @property
    def everything(self) -> Tensor:
        """All pixels (u + n, 3, h, w): those that pretraining alone sees come first."""
        return self.images if self.pool is None else self.pool

    @property
    def unlabelled(self) -> int:
        """u, the number of images that pretraining alone sees."""
        return len(self.everything) - self.n


def fingerprint(images: Tensor) -> str:
    """Return the sha256, in hex, over the shape and the bytes of `images` (any shape, uint8)."""
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    digest.update(images.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def require_test(spec: DataSpec, test: int) -> None:
    """Raise UsageError where protocol `split` meets a data set with no test images."""
    if spec.protocol == "split" and not test:
        raise UsageError(
            f"`{spec.name}` has no test images, which protocol `split` needs",
            hint="use `--protocol whole`, or for Parquet choose the file with `--test FILE`",
        )


def as_labels(values: np.ndarray, source: str) -> Tensor | None:
    """Return integers (n,) as int64 labels with -1 for every negative; None where all are.

    Raises InvalidError that names `source` where they are not integers, one an image.
    """
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InvalidError(
            f"{source} must be whole numbers of shape (n,), not {values.dtype} {values.shape}"
        )
    labels = torch.from_numpy(np.maximum(values.astype(np.int64), -1))
    return labels if bool((labels >= 0).any()) else None
