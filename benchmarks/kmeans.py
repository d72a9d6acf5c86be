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
    """Cluster CIFAR-10's number of rows where that is hard and easy, and more rows into 1,000."""
    keep_freed_memory()
    hard, easy = mixture(60_000, 512, 30, 1.0), mixture(60_000, 512, 10, 0.7)
    return [
        row("30 modes", hard, 10, "scikit-learn", _scikit, restarts=10, goal=GOAL),
        row("30 modes", hard, 10, "faiss", _faiss, restarts=10, goal=GOAL),
        row("10 modes", easy, 10, "faiss", _faiss, restarts=10, goal=GOAL, spherical=True),
        row(
            "1,000 modes",
            mixture(200_000, 128, 1_000, 0.7),
            1_000,
            "faiss",
            _faiss,
            restarts=1,
            iterations=25,
        ),
    ]


def row(
    data: str,
    features: Tensor,
    clusters: int,
    peer: str,
    theirs: Callable[..., Tensor],
    *,
    restarts: int,
    spherical: bool = False,
    iterations: int = 300,
    goal: float | None = None,
) -> Row:
    """Time both over several seeds; raise ValueError where the peer's best inertia is lower."""
    chosen = {"restarts": restarts, "spherical": spherical, "iterations": iterations}
    ours_found, theirs_found = list[Tensor](), list[Tensor]()

    def run(cluster: Callable[..., Tensor], found: list[Tensor]) -> None:
        found.append(cluster(features, clusters, seed=len(found), **chosen))

    mine, peers = alternate(
        partial(run, _ours, ours_found), partial(run, theirs, theirs_found), repeats=2
    )
    least, peers_least = (
        min(inertia(features, centers, spherical) for centers in found)
        for found in (ours_found, theirs_found)
    )
    excess = least / peers_least - 1
    if excess > SLACK:
        raise ValueError(f"the inertia is {excess:.2%} above that of {peer}")
    n, d = features.shape
    return Row(
        what=f"{'spherical' if spherical else 'Euclidean'} k-means, best of {restarts}, {data}",
        peer=peer,
        n=f"{n:,} x {d}, k = {clusters:,}",
        ours=mine,
        theirs=peers,
        goal=goal,
        note=f"the least inertia of {len(ours_found)} seeds is {excess:+.3%} beside the peer's",
    )


def mixture(n: int, d: int, modes: int, noise: float, latent: int = 64) -> Tensor:
    """Draw unit rows (n, d), somewhat as a backbone makes them: modes that overlap by `noise`.

    They lie near a subspace of `latent` directions of falling variance.
    """
    generator = torch.Generator().manual_seed(0)
    scale = torch.arange(1, latent + 1).rsqrt()
    centers = scale * torch.randn(modes, latent, generator=generator)
    rows = centers[torch.randint(modes, (n,), generator=generator)]
    rows += noise * scale * torch.randn(n, latent, generator=generator)
    basis = torch.randn(latent, d, generator=generator) / latent**0.5
    return F.normalize(rows @ basis + 0.1 * torch.randn(n, d, generator=generator))


def inertia(features: Tensor, centers: Tensor, spherical: bool) -> float:
    """Sum the squared distances of unit rows to the nearest centres, in float64."""
    centers = F.normalize(centers.double()) if spherical else centers.double()
    blocks = torch.split(features, 10_000)
    return sum(
        float(torch.cdist(block.double(), centers).amin(1).square().sum()) for block in blocks
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
    """Cluster all rows, not the sample that faiss takes unless told; it never stops early.

    It gets 50 iterations a restart at most: more of them lower its inertia by less than `SLACK`.
    """
    n, d = features.shape
    found = faiss.Kmeans(
        d,
        clusters,
        nredo=restarts,
        niter=min(iterations, 50),
        spherical=spherical,
        seed=seed + 1,
        max_points_per_centroid=n,
    )
    found.train(features.numpy())
    return torch.from_numpy(found.centroids)
