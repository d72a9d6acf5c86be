"""The table that every clustering metric is computed from."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Contingency:
    """How often each cluster meets each class, over the ids that occur."""

    counts: Tensor
    """(clusters, classes) int64."""
    clusters: Tensor
    """(clusters,) ids of the rows, ascending."""
    classes: Tensor
    """(classes,) ids of the columns, ascending."""


def tabulate(predicted: Tensor, target: Tensor) -> Contingency:
    """Count the pairs of `predicted` (n,) and `target` (n,) integers; ids may be any integers.

    The table is made on the tensors' device and returned on the CPU; no samples make it (0, 0).
    """
    clusters, rows = torch.unique(predicted, return_inverse=True)
    classes, columns = torch.unique(target, return_inverse=True)
    height, width = len(clusters), len(classes)
    counts = torch.bincount(rows * width + columns, minlength=height * width).view(height, width)
    return Contingency(counts.cpu(), clusters.cpu(), classes.cpu())


def contingency(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the counts (clusters, classes) int64 of `tabulate`."""
    return tabulate(predicted, target).counts
