"""First centres of k-means: greedy k-means++."""

import math

import torch
from torch import Tensor

from spice_cli.ops.stretch import WHOLE, Stretch


def greedy_seeds(
    points: Tensor,
    clusters: int,
    restarts: int,
    *,
    generator: torch.Generator,
    stretch: Stretch = WHOLE,
) -> Tensor:
    """Choose rows of `points` (n, d) float32 as centres (restarts, clusters, d).

    Greedy k-means++ (Arthur and Vassilvitskii, 2007; as in scikit-learn): the first centre is drawn
    evenly; for each other one 2 + log(clusters) candidates are drawn in proportion to the squared
    distance to the nearest centre so far, and the one that lowers the sum of these most is taken.
    Takes (restarts, 2 + log(clusters), n) floats. Of the restarts a process makes its `stretch`.
    """
    n, device, own = len(points), points.device, stretch.of(restarts)
    every = torch.arange(own.stop - own.start, device=device)
    lengths = torch.linalg.vector_norm(points, dim=1).square_()
    trials = 2 + int(math.log(clusters))
    chosen = [torch.randint(n, (restarts,), generator=generator, device=device)[own]]
    distances = _squared(points, lengths, chosen[0])
    for _ in range(1, clusters):
        mass = distances.cumsum(1, dtype=torch.float64)
        drawn = torch.rand(
            restarts, trials, generator=generator, device=device, dtype=torch.float64
        )[own]
        candidates = torch.searchsorted(mass, drawn * mass[:, -1:], right=True).clamp_(max=n - 1)
        reduced = _squared(points, lengths, candidates.flatten()).view(-1, trials, n)
        torch.minimum(reduced, distances[:, None], out=reduced)
        best = reduced.sum(2).argmin(1)
        distances = reduced[every, best]
        chosen.append(candidates[every, best])
    return points[stretch.whole(torch.stack(chosen, 1), restarts)]


def _squared(points: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
    """Squared distances (m, n) of the rows (m,) to all points, squared `lengths` (n,) given."""
    products = torch.addmm(lengths, points[rows], points.T, alpha=-2)
    return products.add_(lengths[rows, None]).clamp_(min=0)
