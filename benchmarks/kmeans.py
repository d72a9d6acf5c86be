"""K-means beside scikit-learn and faiss, at the same inertia."""

from collections.abc import Callable
from functools import partial

import faiss
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor

from benchmarks.measure import Row, alternate
from spice_cli.ops.kmeans import kmeans
from spice_cli.stages.allocator import keep_freed_memory

GOAL = 2.0
SLACK = 1e-3
"""How much more of the inertia, relative, counts as the same."""


def bench() -> list[Row]:
    """Cluster features of CIFAR-10's size into its classes, and more rows into 1,000."""
    keep_freed_memory()
    few, many = overlapping(60_000, 512, 10), overlapping(200_000, 128, 1_000)
    best = partial(row, few, 10, restarts=10, goal=GOAL)
    return [
        best("scikit-learn", _scikit),
        best("faiss", _faiss),
        best("faiss", _faiss, spherical=True),
        row(many, 1_000, "faiss", _faiss, restarts=1, iterations=25),
    ]


def row(
    features: Tensor,
    clusters: int,
    peer: str,
    theirs: Callable[..., Tensor],
    *,
    restarts: int,
    spherical: bool = False,
    iterations: int = 100,
    goal: float | None = None,
) -> Row:
    """Time both over several seeds; raise ValueError where the peer's best inertia is lower."""
    chosen = {"restarts": restarts, "spherical": spherical, "iterations": iterations}
    found: dict[str, list[float]] = {"ours": [], "peer": []}

    def run(name: str, cluster: Callable[..., Tensor]) -> None:
        centers = cluster(features, clusters, seed=len(found[name]), **chosen)
        found[name].append(inertia(features, centers))

    mine, peers = alternate(partial(run, "ours", _ours), partial(run, "peer", theirs), repeats=2)
    excess = min(found["ours"]) / min(found["peer"]) - 1
    if excess > SLACK:
        raise ValueError(f"the inertia is {excess:.2%} above that of {peer}")
    n, d = features.shape
    return Row(
        what=f"{'spherical' if spherical else 'Euclidean'} k-means, best of {restarts}",
        peer=peer,
        n=f"{n:,} x {d}, k = {clusters:,}",
        ours=mine,
        theirs=peers,
        goal=goal,
        note=f"the least inertia of {len(found['ours'])} seeds is {excess:+.3%} of the peer's",
    )


def overlapping(n: int, d: int, classes: int, latent: int = 64) -> Tensor:
    """Draw unit rows (n, d) as a backbone makes them: classes of three modes that overlap.

    They lie near a subspace of `latent` directions of falling variance.
    """
    generator = torch.Generator().manual_seed(0)
    scale = torch.arange(1, latent + 1).rsqrt()
    modes = scale * torch.randn(classes, 1, latent, generator=generator)
    modes = modes + 0.6 * scale * torch.randn(classes, 3, latent, generator=generator)
    modes = modes.flatten(0, 1)
    rows = modes[torch.randint(len(modes), (n,), generator=generator)]
    rows += 0.7 * scale * torch.randn(n, latent, generator=generator)
    basis = torch.randn(latent, d, generator=generator) / latent**0.5
    return F.normalize(rows @ basis + 0.1 * torch.randn(n, d, generator=generator))


def inertia(features: Tensor, centers: Tensor) -> float:
    """Sum the squared distances to the nearest centres, in float64."""
    blocks = torch.split(features, 10_000)
    return sum(
        float(torch.cdist(block.double(), centers.double()).amin(1).square().sum())
        for block in blocks
    )


def _ours(
    features: Tensor, clusters: int, *, seed: int, restarts: int, spherical: bool, iterations: int
) -> Tensor:
    return kmeans(
        features,
        clusters,
        generator=torch.Generator().manual_seed(seed),
        restarts=restarts,
        spherical=spherical,
        iterations=iterations,
    ).centers


def _scikit(
    features: Tensor, clusters: int, *, seed: int, restarts: int, spherical: bool, iterations: int
) -> Tensor:
    """Cluster with the default tolerance and number of iterations."""
    found = KMeans(clusters, n_init=restarts, random_state=seed).fit(features.numpy())
    return torch.from_numpy(found.cluster_centers_)


def _faiss(
    features: Tensor, clusters: int, *, seed: int, restarts: int, spherical: bool, iterations: int
) -> Tensor:
    """Cluster all rows, not the sample that faiss takes unless told."""
    n, d = features.shape
    found = faiss.Kmeans(
        d,
        clusters,
        nredo=restarts,
        niter=iterations,
        spherical=spherical,
        seed=seed + 1,
        max_points_per_centroid=n,
    )
    found.train(features.numpy())
    return torch.from_numpy(found.centroids)
