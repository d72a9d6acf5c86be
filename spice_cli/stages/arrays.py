"""Arrays made elsewhere: `.npy` and `.safetensors` files, and embeddings in them."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from spice_cli.data.spelling import text
from spice_cli.errors import InvalidError, MissingError
from spice_cli.run.files import sha256
from spice_cli.run.manifest import Data
from spice_cli.run.tensors import possible

UNREADABLE = (SafetensorError, ValueError, OSError, EOFError)
"""What the libraries raise on files that are damaged."""
IMPOSSIBLE = (OverflowError, TypeError, RuntimeError, MemoryError)
"""What they raise on shapes that cannot be."""


def read(file: Path) -> dict[str, Tensor]:
    """Read a `.safetensors` file, or the one array of an `.npy` file under the name ``""``."""
    if not file.is_file():
        raise MissingError(f"there is no file `{file}`")
    if file.suffix.lower() == ".npz":
        raise InvalidError(
            f"`{file}` is an archive: `--from` takes `.npy` and `.safetensors`, not `.npz`",
            hint="numpy.save('embeddings.npy', numpy.load('FILE.npz')['NAME'])",
        )
    try:
        if file.suffix == ".npy":
            array = np.load(file, allow_pickle=False)
            if array.dtype.kind not in "fiu":
                raise InvalidError(f"`{file}` holds {array.dtype}, not numbers")
            array = array.astype(array.dtype.newbyteorder("="))
            return {"": torch.from_numpy(np.ascontiguousarray(array))}
        found = dict(load_file(file))
        for name, tensor in found.items():
            if not possible(tensor.shape):
                raise ValueError(f"`{name}` has a shape that no tensor can have")
        return found
    except (*UNREADABLE, *IMPOSSIBLE) as error:
        raise InvalidError(
            f"`{file}` cannot be read: {(str(error) or type(error).__name__).splitlines()[0]}",
            hint="`--from` takes `.safetensors` and `.npy`",
        ) from None


def embeddings_of(file: Path) -> dict[str, Tensor]:
    """Read embeddings (n, d) made elsewhere, scaled to unit rows."""
    tensors = read(file)
    if "" in tensors:
        tensors = {"embeddings": tensors[""]}
    found = tensors.get("embeddings")
    if found is None:
        raise InvalidError(
            f"`{file}` has no tensor `embeddings`, only {', '.join(f'`{k}`' for k in tensors)}"
        )
    if found.ndim != 2 or len(found) < 2 or not found.shape[1]:
        raise InvalidError(f"`embeddings` in `{file}` is {tuple(found.shape)}, not (n, d)")
    kept = {k: v for k, v in tensors.items() if k in {"embeddings", "weak", "strong"}}
    out = {}
    for name, tensor in kept.items():
        rows = tensor.float()
        if not bool(rows.isfinite().all()):
            raise InvalidError(f"`{name}` in `{file}` has values that are not finite")
        if not bool(rows.norm(dim=-1).gt(0).all()):
            raise InvalidError(f"`{name}` in `{file}` has rows of zeros, which have no direction")
        out[name] = F.normalize(rows, dim=-1)
    return out


def describe_embeddings(file: Path) -> Data:
    """Return what a manifest records of a run that begins with embeddings."""
    return Data(
        spec=None,
        name=text(file.stem),
        train=len(embeddings_of(file)["embeddings"]),
        fingerprint=sha256(file),
    )
