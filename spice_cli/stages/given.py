"""Images or embeddings as Python has them, put where a run finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.encoded import decode_all
from spice_cli.errors import UsageError
from spice_cli.run.files import naming, replacing
from spice_cli.track import Track

Images = np.ndarray | Tensor | str | Path | Sequence[str | Path] | Sequence[np.ndarray]


@dataclass(frozen=True)
class Stored:
    """Where images are."""

    file: Path
    """What was named, or a file that holds them."""
    paths: tuple[str, ...] | None = None
    """Of a list of files those that could be read, in its order."""
    bad: tuple[str, ...] = ()
    """The others of that list."""


def stored(images: Images, folder: Path, size: int | None, track: Track) -> Stored:
    """Return where the images are; what is no file yet becomes one in the folder.

    `embeddings.npy` holds embeddings, `images.npz` pixels.

    Raises:
        UsageError: they are neither images nor embeddings.
        InvalidError: a file cannot be read, or nothing may be written there.
    """
    if isinstance(images, str | Path):
        return Stored(Path(images))
    array, paths, bad = _array(images, size, track)
    embeddings = array.ndim == 2
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "fiu" or not array.size:
        raise UsageError(
            f"`images` has shape {array.shape} and dtype {array.dtype}: it is neither images "
            "(n, h, w), (n, h, w, c), (n, c, h, w) nor embeddings (n, d)"
        )
    file = folder / ("embeddings.npy" if embeddings else "images.npz")
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial, partial.open("wb") as stream:
        if embeddings:
            np.save(stream, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
        else:
            np.savez(stream, images=array)
    return Stored(file, paths, bad)


def _array(
    images: Any, size: int | None, track: Track
) -> tuple[np.ndarray, tuple[str, ...] | None, tuple[str, ...]]:
    if isinstance(images, Tensor):
        return images.detach().cpu().numpy(), None, ()
    if isinstance(images, list | tuple) and images and isinstance(images[0], str | Path):
        files = [Path(each) for each in images]
        spec = DataSpec(name="the files given", size=size)
        items = [(str(file), file) for file in files]
        found = decode_all(lambda: items, len(items), len(items), spec, track.say)
        paths = tuple(items[place][0] for place in found.kept.tolist())
        return found.images.numpy(), paths, found.bad
    try:
        return np.asarray(images), None, ()
    except ValueError:
        raise UsageError(
            "`images` are arrays of several shapes: give paths, or resize them"
        ) from None
