"""How many clusters there are: where clusterings are compact, and where they can be repeated.

For each number of clusters, spherical k-means is run on many random halves of the rows. Two things
are measured on each: the mean silhouette (https://doi.org/10.1016/0377-0427(87)90125-7, with
centres in place of all pairs), and the prediction strength of
https://doi.org/10.1198/106186005X59243: how often pairs that one half's centres put together are
together in the other half's own clustering, in the worst cluster. Both are also measured on rows of
a single Gaussian with the covariance of ours, as in https://doi.org/10.1198/016214508000000454:
what such a cloud, which has no clusters, would give. The estimate is the least number whose
silhouette is as far above the cloud's as any's, but for one standard error (the rule of the gap
statistic, https://doi.org/10.1111/1467-9868.00293); its range is that over the halves and over both
criteria, since no single number deserves trust.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.kmeans import kmeans

PAIRS = 5
"""Pairs of halves of the rows, and of the cloud's."""
CLOUDS = 2
MOST = 4_000
"""Rows in a half at most."""
RESTARTS = 10
REPEATABLE = 0.8
"""Prediction strength from which its authors call clusters well separated."""
COMPACT, AGREEING = 0.03, 0.15
"""By how much silhouette and strength must exceed the cloud's to be evidence of clusters."""
Told = tuple[tuple[float, float], ...]
"""Mean and standard deviation, for each number of clusters."""


@dataclass(frozen=True)
class Curve:
    """What each number of clusters is worth, mean and standard deviation over the halves."""

    clusters: tuple[int, ...]
    silhouette: Told
    strength: Told
    cloud: tuple[float, ...]
    """Mean silhouette of the cloud without clusters."""
    cloud_strength: tuple[float, ...]
    best: int
    """The least number within a standard error of where the silhouette is farthest above."""
    least: int
    most: int
    """Range of where it is farthest above in each half, and of the largest repeatable number."""
    evident: bool
    """Whether there are clusters at all: at `best`, silhouette and strength exceed the cloud's."""


def count(
    rows: Tensor,
    generator: torch.Generator,
    *,
    tried: Sequence[int],
    pairs: int = PAIRS,
    progress: Callable[[int], None] = lambda done: None,
) -> Curve:
    """Estimate the number of clusters among unit rows (n, d) from those `tried`, ascending from 2.

    `progress` is told of each of the `steps` done. Raises ValueError where a half has not more rows
    than the largest number tried.
    """
    size = min(len(rows) // 2, MOST)
    if not tried or max(tried) >= size:
        raise ValueError(f"{max(tried, default=0)} clusters are too many for halves of {size} rows")
    shape, strong = _measure(rows, generator, tried, pairs, size, progress)
    cloud = _measure(_cloud(rows, generator), generator, tried, CLOUDS, size, progress)
    even, even_strength = (values.mean(0) for values in cloud)
    above = shape - even
    place = _least_near_the_peak(shape, cloud[0])
    repeatable = [k for k, s in zip(tried, strong.mean(0).tolist(), strict=True) if s >= REPEATABLE]
    answers = [*(tried[int(row.argmax())] for row in above), tried[place], *repeatable[-1:]]
    return Curve(
        clusters=tuple(tried),
        silhouette=_told(shape),
        strength=_told(strong),
        cloud=tuple(even.tolist()),
        cloud_strength=tuple(even_strength.tolist()),
        best=tried[place],
        least=min(answers),
        most=max(answers),
        evident=bool(above.mean(0)[place] > COMPACT)
        and bool((strong.mean(0) - even_strength)[place] > AGREEING),
    )


def steps(tried: Sequence[int], pairs: int = PAIRS) -> int:
    """Return how often `count` tells of progress."""
    return len(tried) * (pairs + CLOUDS)


def candidates(rows: int, most: int | None = None) -> list[int]:
    """Return the numbers to try for n rows: each from 2, those above 20 at steps of 5 %.

    Up to `most`, none is 30, but not more than one for 20 rows; at least 2 and 3.
    """
    last = max(3, min(most or 30, rows // 20))
    out = [2]
    while out[-1] < last:
        out.append(min(last, out[-1] + max(1, out[-1] // 20)))
    return out


def silhouette(rows: Tensor, centers: Tensor) -> float:
    """Return the mean of (b - a) / max(a, b) over rows (n, d), distances to own and next centre.

    Distances are 1 - cosine; `centers` (k, d) with k of at least 2.
    """
    distance = (1 - rows @ F.normalize(centers, dim=1).T).clamp_min(0)
    own, other = distance.topk(2, largest=False).values.unbind(1)
    return float(((other - own) / other.clamp_min(1e-12)).mean())


def strength(rows: Tensor, own: Tensor, others: Tensor) -> float:
    """Return the least share, over own clusters, of pairs of rows that the other centres keep.

    Rows (n, d), both centres (k, d); clusters of fewer than two rows do not count.
    """
    k = len(own)
    mine, theirs = ((rows @ F.normalize(c, dim=1).T).argmax(1) for c in (own, others))
    table = torch.bincount(mine * k + theirs, minlength=k * k).view(k, k).double()
    sizes = table.sum(1)
    kept = (table * (table - 1)).sum(1) / (sizes * (sizes - 1)).clamp_min(1)
    return float(kept[sizes > 1].min()) if bool((sizes > 1).any()) else 0.0


def _measure(
    rows: Tensor,
    generator: torch.Generator,
    tried: Sequence[int],
    pairs: int,
    size: int,
    progress: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Silhouettes and strengths (2 * pairs, numbers tried) of random halves of `size` rows."""
    shape, strong = (torch.zeros(2 * pairs, len(tried)) for _ in range(2))
    for number in range(pairs):
        order = torch.randperm(len(rows), generator=generator, device=rows.device)
        pair = rows[order[:size]], rows[order[size : 2 * size]]
        for place, clusters in enumerate(tried):
            centers = [
                kmeans(part, clusters, generator=generator, restarts=RESTARTS).centers
                for part in pair
            ]
            for side, part in enumerate(pair):
                at = 2 * number + side, place
                shape[at] = silhouette(part, centers[side])
                strong[at] = strength(part, centers[side], centers[1 - side])
            progress(1)
    return shape, strong


def _cloud(rows: Tensor, generator: torch.Generator) -> Tensor:
    """As many unit rows, at most two halves, of a Gaussian with mean and covariance of ours."""
    few = rows[: 2 * MOST]
    if len(rows) > len(few):
        order = torch.randperm(len(rows), generator=generator, device=rows.device)
        few = rows[order[: 2 * MOST]]
    mean = few.mean(0)
    covariance = (few - mean).T @ (few - mean) / len(few)
    values, vectors = torch.linalg.eigh(covariance)
    drawn = torch.randn(few.shape, generator=generator, device=few.device, dtype=few.dtype)
    return F.normalize(mean + (drawn * values.clamp_min(0).sqrt()) @ vectors.T, dim=1)


def _least_near_the_peak(shape: Tensor, cloud: Tensor) -> int:
    """Place of the first mean of shape (r, t) over cloud (c, t) within an error of the largest.

    The standard error of their difference at the largest.
    """
    above = shape.mean(0) - cloud.mean(0)
    peak = int(above.argmax())
    errors = [(each[:, peak].var() / len(each)) for each in (shape, cloud)]
    return int((above >= above[peak] - sum(errors) ** 0.5).nonzero()[0])


def _told(values: Tensor) -> Told:
    return tuple(zip(values.mean(0).tolist(), values.std(0).tolist(), strict=True))
