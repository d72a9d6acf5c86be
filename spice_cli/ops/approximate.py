"""Approximate nearest neighbours with faiss, an optional package: arxiv.org/abs/1702.08734.

`faiss-cpu` and `faiss-gpu` are one module; a GPU is used where the rows and faiss both have one.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from spice_cli.ops.neighbors import nearest_of, reorder
from spice_cli.ops.similarity import similar_to

SEARCHED = 2**13
"""Rows looked up at a time."""


def nearly_nearest(
    embeddings: Tensor,
    k: int,
    index: Literal["ivf", "hnsw"],
    *,
    progress: Callable[[int], None] = lambda rows: None,
) -> Tensor:
    """Return what `nearest` does, (n, k) int64 for rows (n, d), but some neighbours are missed.

    `ivf` compares a row with those of the nearest cells, whose centres k-means finds, and repeats
    bit by bit; `hnsw` walks a graph (https://arxiv.org/abs/1603.09320), which is built by threads
    that race, and always on the CPU. What was found stands in the order of `nearest`; rows with
    fewer than k are compared with all. `progress` is told how many rows were looked up. Raises
    ImportError without faiss.
    """
    import faiss

    x = embeddings.float()
    rows = x.cpu().numpy()
    built = _ivf(faiss, *x.shape) if index == "ivf" else _hnsw(faiss, k, x.shape[1])
    if x.is_cuda and index == "ivf" and getattr(faiss, "get_num_gpus", int)():
        place = x.device.index or 0
        built = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), place, built)
    built.train(rows)
    built.add(rows)
    result = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    for own in torch.split(torch.arange(len(x), device=x.device), SEARCHED):
        _, found = built.search(rows[own.cpu().numpy()], k)
        result[own] = _ordered(x, own, torch.from_numpy(found).to(x.device))
        progress(len(own))
    return result


def recall(found: Tensor, exact: Tensor) -> float:
    """Return the share of the exact neighbours (r, k) that were found (r, k), column 0 aside."""
    pairs = zip(found[:, 1:].tolist(), exact[:, 1:].tolist(), strict=True)
    return sum(len(set(a) & set(b)) for a, b in pairs) / max(1, exact[:, 1:].numel())


def _ordered(x: Tensor, own: Tensor, found: Tensor) -> Tensor:
    """Turn what faiss found (r, k), best first and -1 for nothing, into what `nearest` returns."""
    missed = (found != own.unsqueeze(1)).all(1)
    found[:, -1] = torch.where(missed, own, found[:, -1])
    scores = similar_to(x, own, found.clamp_min(0))
    result = reorder(scores.masked_fill_(found == own.unsqueeze(1), torch.inf), found)
    short = (found < 0).any(1)
    result[short] = nearest_of(x, own[short], found.shape[1])
    return result


def _ivf(faiss: Any, n: int, d: int) -> Any:
    cells = max(1, min(int(4 * n**0.5), n // 39))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = 32
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.spherical = 10, 64, True
    return index


def _hnsw(faiss: Any, k: int, d: int) -> Any:
    index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = max(k, 64)
    return index
