"""Approximate nearest neighbours with faiss, an optional package: https://arxiv.org/abs/1702.08734.

`faiss-cpu` and `faiss-gpu` are one module; a GPU is used where the rows and faiss both have one.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from spice_cli.ops.largest import reorder
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.search import Search, Take, gathered
from spice_cli.ops.similarity import similar_to

SEARCHED = 2**13
"""Rows looked up at a time."""
SAMPLE = 500
"""Rows whose neighbours are found exactly, to say how many are missed."""
TARGET = 0.97
"""Share of neighbours that must be found of the sample."""


def approximate(
    x: Tensor, k: int, index: Literal["ivf", "hnsw"], generator: torch.Generator
) -> tuple[Search, int]:
    """Return a search for k neighbours among rows (n, d) float32, and how widely it looks.

    `ivf` compares a row with those of the nearest cells, whose centres k-means finds, and repeats
    bit by bit; `hnsw` walks a graph (https://arxiv.org/abs/1603.09320), which is built by threads
    that race, and always on the CPU. Both hold the rows once more, `ivf` in float16: half the
    memory, and its search 1.5 times as fast. How many cells, or candidates, they look at is doubled
    until they find `TARGET` of the neighbours of a sample. What is told stands in the order of
    `nearest`, by products in float32; rows for which fewer than k were found are compared with all.
    Raises ImportError without faiss.
    """
    import faiss

    values = x.cpu().numpy()
    built, most = (_ivf if index == "ivf" else _hnsw)(faiss, *x.shape)
    if x.is_cuda and index == "ivf" and getattr(faiss, "get_num_gpus", int)():
        number = x.device.index or 0
        built = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, built)
    built.train(values)
    built.add(values)
    place = _by_cell(faiss, built, len(x)).to(x.device)

    def look(width: int) -> None:
        if index == "ivf":
            built.nprobe = width
        else:
            built.hnsw.efSearch = width

    def search(take: Take, rows: Tensor | None) -> None:
        asked = torch.arange(len(x), device=x.device) if rows is None else rows
        for places in torch.split(place[asked].argsort(), SEARCHED):
            own = asked[places]
            _, found = built.search(values[own.cpu().numpy()], k)
            take(places, _ordered(x, own, torch.from_numpy(found).to(x.device)))

    return search, _wide_enough(
        x, k, search, look, 8 if index == "ivf" else max(k, 64), most, generator
    )


def sampled(n: int, generator: torch.Generator) -> Tensor:
    """Draw `SAMPLE` of n rows, or all of fewer."""
    return torch.randperm(n, generator=generator, device=generator.device)[:SAMPLE]


def recall(found: Tensor, exact: Tensor) -> float:
    """Return the share of the exact neighbours (r, k) that were found (r, k), column 0 aside."""
    pairs = zip(found[:, 1:].tolist(), exact[:, 1:].tolist(), strict=True)
    return sum(len(set(a) & set(b)) for a, b in pairs) / max(1, exact[:, 1:].numel())


def _wide_enough(
    x: Tensor,
    k: int,
    search: Search,
    look: Callable[[int], None],
    width: int,
    most: int,
    generator: torch.Generator,
) -> int:
    sample = sampled(len(x), generator)
    exact = nearest(x, k, rows=sample)
    look(min(width, most))
    while width < most and recall(gathered(search, sample, k), exact) < TARGET:
        width *= 2
        look(min(width, most))
    return min(width, most)


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


def _by_cell(faiss: Any, built: Any, n: int) -> Tensor:
    """Return the place (n,) of each row when rows of a cell come after one another.

    Rows that are looked up together then look into the same cells, which a cache still holds: two
    to three times as fast as in another order.
    """
    lists = getattr(built, "invlists", None)
    if lists is None:
        return torch.arange(n)
    ids = [
        faiss.rev_swig_ptr(lists.get_ids(cell), size).copy()
        for cell in range(built.nlist)
        if (size := lists.list_size(cell))
    ]
    return torch.from_numpy(np.concatenate(ids)).argsort()


def _ivf(faiss: Any, n: int, d: int) -> tuple[Any, int]:
    cells = max(1, min(int(4 * n**0.5), n // 39))
    half, by, of_residuals = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(d), d, cells, half, by, of_residuals)
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.spherical = 10, 64, True
    return index, cells


def _hnsw(faiss: Any, n: int, d: int) -> tuple[Any, int]:
    return faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT), max(64, n)
