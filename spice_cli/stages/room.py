"""Room for what a stage leaves: in memory, or where that is much, in a file mapped into it."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spice_cli.run.files import naming
from spice_cli.run.tensors import MAPPED


def room(folder: Path, device: torch.device, *shape: int) -> Tensor:
    """Return an uninitialised float32 tensor of a shape.

    Of `MAPPED` bytes or more it lies in a file in `folder` that has no name and ends with the
    process, on the CPU; the system writes pages out when memory runs short. Less lies on `device`.

    Raises:
        InvalidError: the disk has no room for it.
    """
    needed = 4 * math.prod(shape)
    if needed < MAPPED:
        return torch.empty(*shape, device=device)
    with naming(folder), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, needed)
        rows: np.ndarray = np.memmap(file, np.float32, mode="w+", shape=shape)
    found: Tensor = torch.from_numpy(rows)
    return found
