"""Reading files of weights without running what is in them."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError


def read_weights(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, those in nested tables by the path to them, joined by dots.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is cut short or no file of weights, or reading it would run code: such a
            file is refused, never run.
    """
    if not file.is_file():
        raise MissingError(f"there is no file `{file}`")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # What is raised of a damaged file depends on which byte it is: there is no list to name.
        needed = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and needed:
            raise InvalidError(
                f"`{file}` is more than weights: it can only be read by running `{needed[1]}`",
                hint="where it was written: `torch.save(model.state_dict(), 'weights.pth')`",
            ) from None
        raise InvalidError(
            f"`{file}` cannot be read: it is cut short or not a file of weights",
            hint="read are `.safetensors`, and `.pth` or `.pt` as `torch.save` writes them",
        ) from None
    return {name: tensor.detach() for name, tensor in _flat(loaded, "")}


def _flat(value: Any, path: str) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(path, value)]
    if not isinstance(value, Mapping):
        return []
    dot = f"{path}." if path else ""
    return [each for key, inner in value.items() for each in _flat(inner, f"{dot}{key}")]
