"""The nearest rows of each row, searched for once however often they are asked for."""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.ops.neighbors import nearest
from spice_cli.ops.stretch import WHOLE, Stretch, rows_of


def neighborhoods(embeddings: Tensor, stretch: Stretch = WHOLE) -> Callable[[int], Tensor]:
    """Return what finds the k nearest rows (n, k) of each row, and searches for the most once.

    Every process searches for those of the rows in its own `stretch`.
    """
    found = torch.arange(len(embeddings), device=embeddings.device)[:, None]

    def neighbors(k: int) -> Tensor:
        nonlocal found
        k = min(k, len(embeddings))
        if k > found.shape[1]:
            own = nearest(embeddings, k, rows=rows_of(stretch, embeddings))
            found = stretch.whole(own, len(embeddings))
        return found[:, :k]

    return neighbors
