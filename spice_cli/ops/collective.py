"""What processes that train together exchange: rows with their gradient, sums, texts.

Every process calls the same functions in the same order. All raise `LostError` where another
process is gone.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


class LostError(RuntimeError):
    """Another process ended, or cannot be reached any more."""


@contextmanager
def reaching() -> Iterator[None]:
    """Turn what a backend says of a broken connection into a `LostError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0].split(". This is typically")[0]
        raise LostError(re.sub(r"^\[[^\]]*:\d+\]\s*", "", first)) from error


def gather(rows: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Return the rows (r, ...) of all processes, one after another (world * r, ...).

    Each process is to make the same loss of them: then the gradient that it sends back to its own
    rows is the whole loss's, and what reaches shared parameters is to be summed over processes.
    """
    gathered: Tensor = _Gather.apply(rows, group)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup | None) -> Tensor:
        size, rank = dist.get_world_size(group), dist.get_rank(group)
        ctx.own = slice(rank * len(rows), (rank + 1) * len(rows))
        return gathered(rows, size, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.own], None


def gathered(rows: Tensor, size: int, group: ProcessGroup | None = None) -> Tensor:
    """Return the rows (r, ...) of `size` processes (size * r, ...), without a gradient."""
    out = rows.new_empty(size * len(rows), *rows.shape[1:])
    with reaching():
        dist.all_gather_into_tensor(out, rows.contiguous(), group=group)
    return out


def summed(tensors: list[Tensor], group: ProcessGroup | None = None) -> None:
    """Replace each tensor by its sum over all processes, in one exchange a dtype."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        with reaching():
            dist.all_reduce(flat, group=group)
        _unpack(flat, own)


def alike(tensors: list[Tensor]) -> None:
    """Replace each tensor by the first process's, in one exchange a dtype."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        with reaching():
            dist.broadcast(flat, 0)
        _unpack(flat, own)


def told(text: str, group: ProcessGroup | None = None) -> str:
    """Return the first process's text; what the others pass is not looked at."""
    first = dist.get_rank() == 0
    data = text.encode() if first else b""
    size = torch.tensor(len(data))
    with reaching():
        dist.broadcast(size, 0, group=group)
        content = torch.zeros(int(size), dtype=torch.uint8)
        if first:
            content = torch.tensor(list(data), dtype=torch.uint8)
        dist.broadcast(content, 0, group=group)
    return bytes(content.tolist()).decode()


def _unpack(flat: Tensor, into: list[Tensor]) -> None:
    parts = torch.split(flat, [tensor.numel() for tensor in into])
    for tensor, part in zip(into, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))
