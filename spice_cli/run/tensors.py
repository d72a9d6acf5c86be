"""Safetensors files: the same tensors give the same bytes, and are hashed as they are read.

The library checks the header of what is read (https://huggingface.co/docs/safetensors, "Format").
The bytes are moved here, because it would write through a file of its own choosing, and because
what is hashed should be what is used.
"""

import hashlib
import json
import math
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json
from spice_cli.run.files import naming
from spice_cli.run.manifest import TensorSpec

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
_CHUNK, _MOST = 1 << 22, 1 << 59
"""Bytes that are moved at once; values that a tensor has at most, were its empty axes not."""
MAPPED = 1 << 30
"""Bytes from which a tensor is mapped into memory, so that it need not fit."""


class Loaded(NamedTuple):
    """What a file holds: the tensors asked for, the specs of all, and the hash of every byte."""

    tensors: dict[str, Tensor]
    specs: dict[str, TensorSpec]
    metadata: dict[str, str]
    sha256: str


def spec(tensor: Tensor) -> TensorSpec:
    """Describe a tensor: its shape, and its dtype as in `float32`."""
    return TensorSpec(shape=tuple(tensor.shape), dtype=_name(tensor.dtype))


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor of any device and memory format, row by row."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[str, int]:
    """Write tensors of any device and memory format, row by row; return (sha256, bytes).

    Tensors that share memory are each stored in full.

    Raises:
        InvalidError: a dtype that cannot be stored.
        OSError: as raised by the file system.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _CODES:
            raise InvalidError(f"tensor `{name}` is {_name(tensor.dtype)}, which cannot be stored")
    # Widest first, so that every tensor is aligned; then by name.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    head: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        head[name] = {
            "dtype": _CODES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as stream:
        parts = (bytes_of(tensors[name]) for name in names)
        for part in chain([memoryview(struct.pack("<Q", len(text)) + text)], parts):
            for chunk in _chunks(part):
                digest.update(chunk)
                size += stream.write(chunk)
    return digest.hexdigest(), size


def load(path: Path, names: Collection[str] = ()) -> Loaded:
    """Read a file once, keeping all its tensors or only those named, on the CPU and contiguous.

    Tensors of `MAPPED` bytes or more are hashed and then mapped. A file that is written by rename,
    as ours are, stays as it was for whoever has mapped it.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is cut short, not a safetensors file, or of a dtype or shape that is none.
    """
    with naming(path, "read"), _open(path) as stream:
        try:
            with safe_open(_spoken(path, stream), framework="pt"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            raise InvalidError(f"`{path}` is cut short or not a safetensors file") from error
        prefix = stream.read(8)
        text = stream.read(struct.unpack("<Q", prefix)[0])
        digest = hashlib.sha256(prefix + text)
        head = parse_json(text, f"the header of `{path}`")
        metadata = head.pop("__metadata__", None) or {}
        tensors, specs = {}, {}
        for name, entry in sorted(head.items(), key=lambda item: item[1]["data_offsets"]):
            if (dtype := DTYPES.get(entry["dtype"])) is None:
                raise InvalidError(f"tensor `{name}` in `{path}` is of unknown dtype")
            if not possible(entry["shape"]):
                raise InvalidError(
                    f"tensor `{name}` in `{path}` has a shape that no tensor can have",
                    hint="write it again as it should be",
                )
            specs[name] = TensorSpec(shape=tuple(entry["shape"]), dtype=_name(dtype))
            start, end = entry["data_offsets"]
            if names and name not in names:
                _skip(stream, end - start, digest)
                continue
            if end - start >= MAPPED:
                _skip(stream, end - start, digest)
                tensors[name] = _mapped(stream, 8 + len(text) + start, entry["shape"], dtype)
                continue
            tensors[name] = torch.empty(entry["shape"], dtype=dtype)
            for chunk in _chunks(bytes_of(tensors[name])):
                if stream.readinto(chunk) != len(chunk):
                    raise InvalidError(f"`{path}` is cut short")
                digest.update(chunk)
    return Loaded(tensors, specs, metadata, digest.hexdigest())


def possible(shape: Iterable[int]) -> bool:
    """Tell whether a tensor can have a shape, be it with no values: torch counts all axes."""
    return math.prod(max(size, 1) for size in shape) <= _MOST


def _spoken(path: Path, stream: BufferedReader) -> str:
    """Name an open file in text, for a library that takes no other names."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError:
        return f"/dev/fd/{stream.fileno()}"


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise MissingError(f"there is no file `{path}`") from None


def _skip(stream: BufferedReader, size: int, digest: "hashlib._Hash") -> None:
    while size > 0 and (chunk := stream.read(min(size, _CHUNK))):
        digest.update(chunk)
        size -= len(chunk)


def _mapped(
    stream: BufferedReader, offset: int, shape: Sequence[int], dtype: torch.dtype
) -> Tensor:
    """Map a tensor of a file; what is written to it stays in this process."""
    place, size = stream.tell(), math.prod(shape) * dtype.itemsize
    flat: np.ndarray = np.memmap(stream, np.uint8, mode="c", offset=offset, shape=(size,))
    stream.seek(place)
    mapped: Tensor = torch.from_numpy(flat)
    return mapped.view(dtype).view(tuple(shape))


def _chunks(view: memoryview) -> Iterator[memoryview]:
    return (view[start : start + _CHUNK] for start in range(0, len(view), _CHUNK))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
