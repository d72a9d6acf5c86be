"""The table that every clustering metric is computed from."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Contingency:
    """How often each cluster meets each class, over the ids that occur."""

    counts: Tensor
    """(clusters, classes) int64."""
    clusters: Tensor
    """(clusters,) ids of the rows, ascending."""
    classes: Tensor
    """(classes,) ids of the columns, ascending."""


class Tabulated(Generic[P, R]):
    """A function of the labels `(predicted, target, ...)` that depends on their table alone.

    Decorates a function of the table, which stays at hand as `of`: several metrics of the same
    labels share one table by `table = tabulate(predicted, target); accuracy.of(table)`.
    """

    def __init__(self, of: Callable[Concatenate[Contingency, P], R]) -> None:
        self.of = of
        functools.update_wrapper(self, of)

    def __call__(self, predicted: Tensor, target: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute it of `predicted` (n,) and `target` (n,) integers."""
        return self.of(tabulate(predicted, target), *args, **kwargs)


def tabulate(predicted: Tensor, target: Tensor) -> Contingency:
    """Count the pairs of `predicted` (n,) and `target` (n,) integers; ids may be any integers.

    Ids that lie close together are counted where they fall, others are sorted first. The table is
    made on the tensors' device and returned on the CPU; no samples make it (0, 0).
    """
    if len(predicted):
        (top, height), (left, width) = _span(predicted), _span(target)
        if height * width <= 8 * len(predicted) + 2**16:
            counts = _count(predicted.long() - top, target.long() - left, height, width)
            return _occurring(counts, top, left)
    clusters, rows = torch.unique(predicted, return_inverse=True)
    classes, columns = torch.unique(target, return_inverse=True)
    counts = _count(rows, columns, len(clusters), len(classes))
    return Contingency(counts, clusters.cpu(), classes.cpu())


def _occurring(counts: Tensor, top: int, left: int) -> Contingency:
    """Leave out the ids that do not occur, of rows from `top` and columns from `left` on."""
    clusters, classes = (counts.sum(axis).nonzero().squeeze(1) for axis in (1, 0))
    if counts.shape != (len(clusters), len(classes)):
        counts = counts[clusters][:, classes]
    return Contingency(counts, clusters + top, classes + left)


def _count(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    cells = torch.add(columns, rows, alpha=width)
    return torch.bincount(cells, minlength=height * width).view(height, width).cpu()


def _span(ids: Tensor) -> tuple[int, int]:
    """Return the least id, and how many there are from it to the greatest."""
    least, greatest = map(int, torch.aminmax(ids))
    return least, greatest - least + 1
