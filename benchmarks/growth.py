"""How costs grow with the number of images, and the exponent that fits them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import seconds
from spice_cli.ops.approximate import approximate, recall
from spice_cli.ops.contingency import tabulate
from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.metrics import accuracy, adjusted_rand_index, normalized_mutual_information
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.search import gathered
from spice_cli.stages.allocator import keep_freed_memory

D, K, CLUSTERS, CLASSES, SAMPLE = 64, 100, 100, 1000, 500
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)


@dataclass(frozen=True)
class Cost:
    """Something whose cost grows."""

    what: str
    most: int
    """The largest size that takes no longer than about half a minute on two cores."""
    prepare: Callable[[int], Callable[[], object]]
    """Given the number of images, returns what is to be timed."""


def bench() -> str:
    """Time each cost at each size: three times, or as often as two seconds allow."""
    keep_freed_memory()
    costs = [
        Cost(f"exact top-{K}, d = {D}", 100_000, lambda n: search(n, "exact")),
        Cost(f"the same, `index=ivf`{found('ivf')}", 300_000, lambda n: search(n, "ivf")),
        Cost(f"the same, `index=hnsw`{found('hnsw')}", 100_000, lambda n: search(n, "hnsw")),
        Cost(f"k-means, {CLUSTERS} clusters, d = {D}, one start", 1_000_000, clustering),
        Cost(f"ACC, NMI and ARI, {CLASSES:,} classes", 1_000_000, scoring),
    ]
    lines = [
        f"| what | {' | '.join(f'{n:,}' for n in SIZES)} | exponent |",
        "|---" * (len(SIZES) + 2) + "|",
    ]
    for cost in costs:
        times = {n: timed(cost.prepare(n)) for n in SIZES if n <= cost.most}
        cells = [f"{times[n]:.3g} s" if n in times else "" for n in SIZES]
        lines.append(f"| {cost.what} | {' | '.join(cells)} | **{exponent(times):.2f}** |")
    return "\n".join(lines)


def exponent(times: dict[int, float]) -> float:
    """Fit seconds = c n^e by least squares of the logarithms."""
    logarithms = [math.log(n) for n in times], [math.log(t) for t in times.values()]
    return linear_regression(*logarithms).slope


def timed(work: Callable[[], object]) -> float:
    """Return the median of up to three times, after a first one where it is short."""
    times = [seconds(work)]
    while len(times) < 4 and sum(times) < 2:
        times.append(seconds(work))
    return median(times[1:] or times)


def embeddings(n: int) -> Tensor:
    """Unit rows (n, D) in as many clusters as k-means is to find."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLUSTERS, D, generator=generator)
    rows = torch.randn(n, D, generator=generator)
    return F.normalize(rows.add_(centres.repeat(-(-n // CLUSTERS), 1)[:n]))


def search(n: int, index: Literal["exact", "ivf", "hnsw"]) -> Callable[[], object]:
    """Find neighbours."""
    x = embeddings(n)
    return lambda: nearest(x, K) if index == "exact" else nearly_nearest(x, index)


def nearly_nearest(x: Tensor, index: Literal["ivf", "hnsw"]) -> Tensor:
    """Return neighbours (n, K) of which some are missed."""
    search, _ = approximate(x, K, index, torch.Generator().manual_seed(0))
    return gathered(search, torch.arange(len(x)), K)


def found(index: Literal["ivf", "hnsw"]) -> str:
    """Say how many of the neighbours an index finds among 100,000."""
    x = embeddings(100_000)
    rows = torch.arange(0, len(x), len(x) // SAMPLE)
    share = recall(nearly_nearest(x, index)[rows], nearest(x, K, rows=rows))
    return f", which finds {share:.1%} at n = {len(x):,}"


def clustering(n: int) -> Callable[[], object]:
    """Cluster with a fixed number of iterations."""
    x = embeddings(n)
    return lambda: kmeans(
        x, CLUSTERS, generator=torch.Generator().manual_seed(0), restarts=1, iterations=10
    )


def scoring(n: int) -> Callable[[], object]:
    """Score labels of which half are right."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(CLASSES, (n,), generator=generator)
    wrong = torch.randint(CLASSES, (n,), generator=generator)
    labels = torch.where(torch.rand(n, generator=generator) < 0.5, target, wrong)

    def score() -> None:
        table = tabulate(labels, target)
        for metric in (accuracy, normalized_mutual_information, adjusted_rand_index):
            metric.of(table)

    return score
