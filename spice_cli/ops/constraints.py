"""What a few answers say of all rows: labels spread over the graph of nearest neighbours."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.neighbors import nearest

NEIGHBORS = 10
TRUST, LEAST = 0.1, 1e-3
"""Weight of a first guess against the row's neighbours: of the surest, and of the least sure."""
TOLD = 1e3
"""Weight of an answer."""
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


def trust(margin: Tensor) -> Tensor:
    """Return the weight (n,) of each row's first guess, by the rank of its margin (n,)."""
    ranks = margin.argsort(stable=True).argsort(stable=True)
    return LEAST + TRUST * ranks.float() / len(margin)


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


class Told(NamedTuple):
    """Answers about rows of n: in which cluster each is, or in which ones it is not."""

    rows: Tensor
    """(q,) int64, each once."""
    targets: Tensor
    """(q, k), rows that sum to one."""


def told(answers: dict[int, int | tuple[int, ...]], guesses: Tensor) -> Told:
    """Turn answers by row into targets: a cluster, or those of which it is in none.

    What a row can still be after the latter is what its first guesses (n, k) say of the other
    clusters.
    """
    clusters, targets = guesses.shape[1], []
    for row, answer in answers.items():
        if isinstance(answer, int):
            targets.append(F.one_hot(torch.tensor(answer), clusters).float())
            continue
        left = guesses[row].cpu().float() + 1e-6
        left[list(answer)] = 0
        targets.append(left / left.sum().clamp(min=1e-12))
    rows = torch.tensor(list(answers), dtype=torch.int64)
    stacked = torch.stack(targets) if targets else torch.zeros(0, clusters)
    return Told(rows.to(guesses.device), stacked.to(guesses.device))


class Field(NamedTuple):
    """What is known of every row, and what follows from it."""

    graph: Graph
    weight: Tensor
    """(n,) of what is given of each row."""
    given: Tensor
    """(n, k) first guesses and answers."""
    probs: Tensor
    """(n, k) what follows."""


def completed(graph: Graph, first: Tensor, margin: Tensor, told: Told) -> Field:
    """Return what answers make of all rows.

    Args:
        graph: of all rows.
        first: (n, k) first guesses, one-hot or probabilities.
        margin: (n,) how sure each of them is, of which only the order counts.
        told: the answers.
    """
    weight, given = trust(margin), first.float().clone()
    weight[told.rows], given[told.rows] = TOLD, told.targets
    return Field(graph, weight, given, probabilities(spread(graph, weight, given)))


def probabilities(scores: Tensor) -> Tensor:
    """Scale scores (n, k) of no sign but plus to rows that sum to one."""
    found = scores.clamp(min=0) + 1e-12
    return found / found.sum(1, keepdim=True)
