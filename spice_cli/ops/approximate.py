"""Approximate nearest neighbours by a graph, which faiss, an optional package, builds and walks."""

from typing import Any

import torch
from torch import Tensor

from spice_cli.ops.largest import reorder
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.search import Search, Take
from spice_cli.ops.similarity import similar_to

SEARCHED = 2**13
"""Rows looked up at a time."""


def graph(x: Tensor, k: int) -> Search:
    """Return a search for k neighbours among rows (n, d) float32 that misses some of them.

    The graph (HNSW, https://arxiv.org/abs/1603.09320) is built by threads that race, and always on
    the CPU, where it holds the rows once more. What is told stands in the order of `nearest`; rows
    for which fewer than k were found are compared with all. Raises ImportError without faiss.
    """
    import faiss

    values = x.cpu().numpy()
    built: Any = faiss.IndexHNSWFlat(x.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    built.hnsw.efSearch = max(k, 64)
    built.add(values)

    def search(take: Take, rows: Tensor | None) -> None:
        asked = torch.arange(len(x), device=x.device) if rows is None else rows
        for places in torch.split(torch.arange(len(asked), device=x.device), SEARCHED):
            own = asked[places]
            _, found = built.search(values[own.cpu().numpy()], k)
            take(places, _ordered(x, own, torch.from_numpy(found).to(x.device)))

    return search


def _ordered(x: Tensor, own: Tensor, found: Tensor) -> Tensor:
    """Turn what faiss found (r, k), best first and -1 for nothing, into what `nearest` returns."""
    missed = (found != own.unsqueeze(1)).all(1)
    found[:, -1] = torch.where(missed, own, found[:, -1])
    scores = similar_to(x, own, found.clamp_min(0))
    result = reorder(scores.masked_fill_(found == own.unsqueeze(1), torch.inf), found)
    short = (found < 0).any(1)
    if bool(short.any()):
        result[short] = nearest(x, found.shape[1], rows=own[short])
    return result
