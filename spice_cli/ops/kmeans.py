"""K-means (Lloyd's algorithm), all restarts at once as matrix products."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.neighbors import rows_per_block


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
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> KMeans:
    """Cluster `features` (n, d) into `clusters`; of all `restarts` keep the least inertia.

    Each restart is seeded by greedy k-means++ (Arthur and Vassilvitskii, 2007) and stops when its
    centres move by less than `tolerance` times the mean variance of the features, as in
    scikit-learn. `spherical` clusters by cosine: samples and centres are brought to unit length.
    A cluster that runs empty starts again at the sample farthest from its centre. Same generator,
    same device, same bits. Beside the features it takes their size again, and some 20 bytes for
    each sample and restart. Raises ValueError unless 1 <= clusters <= n.
    """
    if not 1 <= clusters <= len(features):
        raise ValueError(f"clusters must be within 1 and {len(features)}, got {clusters}")
    points = features.float()
    origin = torch.zeros_like(points[0]) if spherical else points.mean(0)
    points = F.normalize(points) if spherical else points - origin
    limit = tolerance * points.var(0, correction=0).mean()
    centers = _seed(points, clusters, restarts, generator)
    active = torch.arange(restarts, device=points.device)
    for _ in range(iterations):
        moved = _means(points, *_assign(points, centers[active]), clusters)
        moved = F.normalize(moved, dim=2) if spherical else moved
        shift = (moved - centers[active]).square().sum((1, 2))
        centers[active] = moved
        active = active[shift > limit]
        if not len(active):
            break
    labels, distances = _assign(points, centers)
    inertia = distances.sum(1, dtype=torch.float64)
    best = int(inertia.argmin())
    return KMeans(labels[best], centers[best] + origin, float(inertia[best]))


def _seed(points: Tensor, clusters: int, restarts: int, generator: torch.Generator) -> Tensor:
    """Centres (r, k, d): each drawn by squared distance, the best of a few candidates."""
    n, device, every = len(points), points.device, torch.arange(restarts, device=points.device)
    trials = 2 + int(math.log(clusters))
    chosen = [torch.randint(n, (restarts,), generator=generator, device=device)]
    distances = _squared(points, points[chosen[0]])
    for _ in range(1, clusters):
        mass = distances.cumsum(1, dtype=torch.float64)
        drawn = torch.rand(
            restarts, trials, generator=generator, device=device, dtype=torch.float64
        )
        candidates = torch.searchsorted(mass, drawn * mass[:, -1:], right=True).clamp_(max=n - 1)
        reduced = _squared(points, points[candidates.flatten()]).view(restarts, trials, n)
        reduced = torch.minimum(reduced, distances[:, None], out=reduced)
        best = reduced.sum(2, dtype=torch.float64).argmin(1)
        distances = reduced[every, best]
        chosen.append(candidates[every, best])
    return points[torch.stack(chosen, 1)]


def _squared(points: Tensor, others: Tensor) -> Tensor:
    """Squared distances (m, n) of others (m, d) to points (n, d)."""
    lengths = points.square().sum(1)
    return (
        torch.addmm(lengths, others, points.T, alpha=-2)
        .add_(others.square().sum(1, keepdim=True))
        .clamp_(min=0)
    )


def _assign(points: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest of centres (r, k, d) and its squared distance, both (r, n)."""
    restarts, clusters, _ = centers.shape
    flat = centers.flatten(0, 1)
    lengths = flat.square().sum(1)
    labels, distances = [], []
    for block in torch.split(points, rows_per_block(len(flat))):
        scores = torch.addmm(lengths, block, flat.T, alpha=-2).view(-1, restarts, clusters)
        least = scores.min(2)
        labels.append(least.indices.T)
        distances.append((least.values + block.square().sum(1, keepdim=True)).clamp_(min=0).T)
    return torch.cat(labels, 1), torch.cat(distances, 1)


def _means(points: Tensor, labels: Tensor, distances: Tensor, clusters: int) -> Tensor:
    """Mean (r, k, d) of each cluster of labels (r, n); empty ones take the farthest samples."""
    width = len(labels) * clusters
    flat = labels + clusters * torch.arange(len(labels), device=labels.device)[:, None]
    sums, start = points.new_zeros(width, points.shape[1]), 0
    for block in torch.split(points, rows_per_block(width)):
        columns = flat[:, start : start + len(block)].T
        members = points.new_zeros(len(block), width).scatter_(1, columns, 1.0)
        sums.addmm_(members.T, block)
        start += len(block)
    sizes = torch.bincount(flat.flatten(), minlength=width).view(-1, clusters)
    means = sums.view(-1, clusters, points.shape[1]) / sizes.clamp(min=1)[..., None]
    empty = sizes == 0
    if empty.any():
        farthest = distances.topk(clusters, dim=1).indices
        place = (empty.cumsum(1) - 1).clamp_(min=0)
        means = torch.where(empty[..., None], points[farthest.gather(1, place)], means)
    return means
