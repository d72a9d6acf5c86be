"""NumPy archives: `images`, and maybe `labels`, `test_images` and `test_labels`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say, as_labels, require_test
from spice_cli.data.side import fit_all
from spice_cli.errors import InvalidError

CHANNELS = {1, 3, 4}
ROOMY, PACKED = 2**28, 200
"""Arrays of more bytes are read only where they are packed in more than a share of that."""
T = TypeVar("T")


def npz(spec: DataSpec, say: Say) -> Dataset:
    """Return the images of a `.npz` file, which is never unpickled.

    `images` and `test_images` are (n, h, w), (n, h, w, c) or (n, c, h, w), c 1, 3 or 4 (alpha is
    laid on white), uint8 in 0 to 255 or floats in 0 to 1; `labels` and `test_labels` are (n,)
    integers. Where both ends could be channels the last one is.
    Raises InvalidError that names the array, its shape and its dtype.
    """
    file = Path(spec.name)
    arrays = _arrays(file)
    if "images" not in arrays:
        found = ", ".join(f"`{name}`" for name in sorted(arrays)) or "nothing"
        raise InvalidError(
            f"`{file}` has no array `images`: it holds {found}",
            hint="write it with `np.savez(file, images=images, labels=labels)`",
        )
    splits = ["", "test_"] if "test_images" in arrays else [""]
    require_test(spec, len(splits) - 1)
    parts = [_images(_read(file, f"{split}images"), f"{split}images") for split in splits]
    counts = [len(part) for part in parts]

    def read_labels() -> Tensor | None:
        labels = [
            _labels(file, f"{split}labels", count, f"{split}labels" in arrays)
            for split, count in zip(splits, counts, strict=True)
        ]
        return as_labels(np.concatenate(labels), f"labels of `{file}`")

    return Dataset(
        images=fit_all(parts[0], parts[1] if len(parts) > 1 else None, spec, say),
        train=counts[0],
        classes=None,
        names=None,
        paths=None,
        bad=(),
        read_labels=read_labels,
    )


def _arrays(file: Path) -> list[str]:
    return _guard(file, lambda archive: list(archive.files))


def _read(file: Path, name: str) -> np.ndarray:
    def read(archive: NpzFile) -> np.ndarray:
        if archive.zip is None:
            raise ValueError("it is closed")
        known = archive.zip.namelist()
        member = archive.zip.getinfo(name if name in known else f"{name}.npy")
        if member.file_size > max(ROOMY, PACKED * member.compress_size):
            size = member.file_size / 2**30
            raise ValueError(
                f"`{name}` would unpack to {size:.1f} GiB, over {PACKED} times what it takes"
            )
        return archive[name]

    return _guard(file, read)


def _guard(file: Path, function: Callable[[NpzFile], T]) -> T:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return function(archive)
    except Exception as error:  # zip and header parsers raise nearly anything on a corrupt file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidError(f"`{file}` is not a readable NumPy archive: {reason}") from error


def _images(array: np.ndarray, name: str) -> Tensor:
    wrong = InvalidError(
        f"array `{name}` has shape {array.shape} and dtype {array.dtype}, not (n, h, w), "
        "(n, h, w, c) or (n, c, h, w) of uint8 or of floats from 0 to 1",
        hint=f"look at it with `numpy.load(file)[{name!r}]`",
    )
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not array.size or not {array.shape[1], array.shape[3]} & CHANNELS:
        raise wrong
    if array.shape[3] in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        array = np.rint(array * np.float32(255)).astype(np.uint8)
    if array.dtype != np.uint8:
        raise wrong
    return torch.from_numpy(_rgb(array))


def _rgb(array: np.ndarray) -> np.ndarray:
    if array.shape[1] == 1:
        return array.repeat(3, axis=1)
    if array.shape[1] == 3:
        return np.ascontiguousarray(array)
    alpha = array[:, 3:].astype(np.float32) / 255
    return np.rint(array[:, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _labels(file: Path, name: str, count: int, there: bool) -> np.ndarray:
    labels = _read(file, name) if there else np.full(count, -1)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InvalidError(
            f"array `{name}` has shape {labels.shape} and dtype {labels.dtype}, "
            f"not ({count},) of integers"
        )
    return labels
