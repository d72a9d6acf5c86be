"""What is known of some rows, spread over the graph of nearest neighbours."""

from typing import NamedTuple

import torch
from torch import Tensor

from spice_cli.ops.neighbors import nearest

NEIGHBORS = 10
MOST_ROUNDS = 200


class Graph(NamedTuple):
    """Who is near whom, both ways: S = D^-1/2 W D^-1/2."""

    affinity: Tensor
    """(n, n) sparse."""


def graph(rows: Tensor, neighbors: int = NEIGHBORS) -> Graph:
    """Link unit rows (n, d) with their nearest, at most n - 1 of them.

    An edge weighs exp(-(1 - cosine) / s) where s is the mean of 1 - cosine over the row's own
    neighbours (self-tuning, Zelnik-Manor and Perona 2004), the larger of both ways.
    """
    n = len(rows)
    near = nearest(rows, min(neighbors + 1, n))[:, 1:]
    apart = torch.stack([1 - (rows[near[:, j]] * rows).sum(1) for j in range(near.shape[1])], 1)
    apart = apart.clamp(min=0)
    weights = (-apart / apart.mean(1, keepdim=True).clamp(min=1e-6)).exp()
    source = torch.arange(n, device=rows.device).repeat_interleave(near.shape[1])
    target, weight = near.flatten(), weights.flatten()
    keys = torch.cat([source * n + target, target * n + source])
    edges, place = torch.unique(keys, return_inverse=True)
    largest = torch.zeros(len(edges), device=rows.device)
    largest.scatter_reduce_(0, place, weight.repeat(2), "amax")
    left, right = edges // n, edges % n
    degree = torch.zeros(n, device=rows.device).index_add_(0, left, largest)
    values = largest / (degree[left] * degree[right]).sqrt()
    places = torch.stack([left, right])
    return Graph(torch.sparse_coo_tensor(places, values, (n, n), check_invariants=True).coalesce())


def spread(graph: Graph, weight: Tensor, given: Tensor, start: Tensor | None = None) -> Tensor:
    """Return scores F (n, k) that are smooth over the graph and near what is given (n, k).

    They minimise sum_ij W_ij |F_i/sqrt(D_i) - F_j/sqrt(D_j)|^2 / 2 + sum_i weight_i |F_i -
    given_i|^2, as in Zhou et al. 2004, "Learning with local and global consistency", with a weight
    (n,) for each row: (I - S + diag(weight)) F = diag(weight) given. `start` is where the solver
    begins.
    """
    return solve(graph, weight, weight[:, None] * given, start)


def solve(
    graph: Graph,
    weight: Tensor,
    right: Tensor,
    start: Tensor | None = None,
    *,
    tolerance: float = 1e-4,
) -> Tensor:
    """Solve (I - S + diag(weight)) x = right (n, k), by conjugate gradients for each column."""
    diagonal = 1 + weight[:, None]

    def apply(x: Tensor) -> Tensor:
        near: Tensor = torch.sparse.mm(graph.affinity, x)
        return diagonal * x - near

    x = right / diagonal if start is None else start.clone()
    rest = right - apply(x)
    limit = tolerance * right.norm(dim=0)
    scaled = rest / diagonal
    along, energy = scaled.clone(), (rest * scaled).sum(0)
    for _ in range(MOST_ROUNDS):
        if bool((rest.norm(dim=0) <= limit).all()):
            break
        moved = apply(along)
        step = energy / (along * moved).sum(0).clamp(min=1e-30)
        x = x + step * along
        rest = rest - step * moved
        scaled = rest / diagonal
        now = (rest * scaled).sum(0)
        along = scaled + now / energy.clamp(min=1e-30) * along
        energy = now
    return x
