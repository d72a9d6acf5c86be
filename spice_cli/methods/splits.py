"""Batches in parts, each with batch norms of its own, as on several GPUs."""

from math import gcd

import torch
from torch import Tensor, nn

from spice_cli.errors import UsageError


def check_splits(batch: int, splits: int) -> None:
    """Raise UsageError unless `batch` images are `splits` equal parts of two or more."""
    if splits > 1 and (batch % splits or batch // splits < 2):
        fitting = gcd(batch, splits)
        raise UsageError(
            f"a batch of {batch} does not divide into {splits} parts of at least "
            "two images, each for a batch norm of its own",
            hint=f"--set splits={fitting if fitting < batch else 1}",
        )


def in_parts(head: nn.Module, rows: Tensor, parts: int) -> Tensor:
    """Return the rows (n, p) of a head over `parts` equal parts of `rows` (n, d), in turn."""
    return torch.cat([head(part) for part in rows.chunk(parts)])
