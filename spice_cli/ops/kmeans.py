"""K-means (Lloyd's algorithm), several restarts at once, on a sample first."""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.ops.kmeans_lloyd import Points, assign, distances, lloyd
from spice_cli.ops.kmeans_seed import greedy_seeds
from spice_cli.ops.stretch import WHOLE, Stretch

SAMPLE, SAMPLE_PER_CLUSTER = 2**14, 16
FINALISTS = 3


@dataclass(frozen=True)
class KMeans:
    """The best of the restarts."""

    labels: Tensor
    """(n,) int64, the nearest centre of each sample."""
    centers: Tensor
    """(k, d) float32, unit rows where `spherical`."""
    inertia: float
    """Sum of the squared distances to the nearest centres."""


def kmeans(
    features: Tensor,
    clusters: int,
    *,
    generator: torch.Generator,
    spherical: bool = True,
    restarts: int = 10,
    iterations: int = 300,
    tolerance: float = 1e-4,
    stretch: Stretch = WHOLE,
) -> KMeans:
    """Cluster `features` (n, d) into `clusters`; of all `restarts` keep the least inertia.

    Lloyd's algorithm from greedy k-means++ seeds. All restarts converge on a sample of the rows and
    the best three of them on all rows, both to ten times the tolerance and with products in bf16
    where the hardware has it; the best of these goes on in float32 until its centres move by less
    than `tolerance` times the mean variance of the features, as in scikit-learn. `iterations` is
    the most that are made on the sample, and on all rows. `spherical` clusters by cosine: samples
    and centres are brought to unit length. A cluster that runs empty starts again at the sample
    farthest from its centre. Same generator, same device, same bits. Processes that each go through
    a `stretch` of the rows, and of the sample, find the same up to the order of sums.

    Beside the features it takes some 30 bytes a row, and twice a sample of 16,384 rows, or of 16
    for each cluster where that is more. Faster than faiss and scikit-learn at their inertia for few
    clusters and for many (`benchmarks/kmeans.py`). Raises ValueError unless 1 <= clusters <= n.
    """
    if not 1 <= clusters <= len(features):
        raise ValueError(f"clusters must be within 1 and {len(features)}, got {clusters}")
    rows = _sample(features, max(SAMPLE, SAMPLE_PER_CLUSTER * clusters), generator)
    points = _points(features, rows, spherical, stretch)
    some = replace(points, features=features[rows], scale=points.scale[rows])
    drawn = points.at(rows)
    limit = tolerance * drawn.var(0, correction=0).mean()
    centers = greedy_seeds(drawn, clusters, restarts, generator=generator, stretch=stretch)
    stretch.agree(points.origin, limit, centers)
    roughly = functools.partial(
        lloyd,
        limit=10 * limit,
        iterations=iterations,
        dtype=torch.bfloat16 if multiplies_bf16(features.device) else torch.float32,
    )
    centers, _ = roughly(some, centers)
    if restarts > FINALISTS:
        centers = centers[_inertia(some, centers).argsort()[:FINALISTS]]
    centers, left = roughly(points, centers)
    if len(centers) > 1:
        centers = centers[_inertia(points, centers).argmin()][None]
    centers, _ = lloyd(points, centers, limit=limit, iterations=max(1, left), dtype=torch.float32)
    labels, inertia = assign(points, centers[0])
    return KMeans(labels, centers[0] + points.origin, float(inertia))


def _sample(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Ascending rows (m,): one drawn from each of `size` equal stretches, or all."""
    n, device = len(features), features.device
    if n <= size:
        return torch.arange(n, device=device)
    place = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    place += torch.arange(size, device=device)
    return (place * (n / size)).long().clamp_(max=n - 1)


def _points(features: Tensor, rows: Tensor, spherical: bool, stretch: Stretch) -> Points:
    """Bring rows to unit length where `spherical`, and the origin to the mean of the sample."""
    scale = torch.ones(1, 1, device=features.device).expand(len(features), 1)
    if spherical:
        lengths = [
            torch.linalg.vector_norm(block.float(), dim=1, keepdim=True)
            for block in torch.split(features[stretch.of(len(features))], SAMPLE)
        ]
        own = torch.cat(lengths).clamp_(min=1e-12).reciprocal_()
        scale = stretch.whole(own, len(features))
    origin = (features[rows].float() * scale[rows]).mean(0)
    return Points(features, scale, origin, spherical, stretch)


def _inertia(points: Points, centers: Tensor) -> Tensor:
    """Sum (r,) of the squared distances to the nearest of centers (r, k, d)."""
    return distances(points, centers).sum(1, dtype=torch.float64)
