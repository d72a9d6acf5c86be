"""What a few answers say of all rows: labels spread over the graph of nearest neighbours."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.spreading import Graph, spread

TRUST, LEAST = 0.1, 1e-3
"""Weight of a first guess against the row's neighbours: of the surest, beyond that of the least
sure, and of this at least; see `trust`."""
TOLD = 1e3
"""Weight of an answer."""
REACH = 1.25
"""What a difference counts beside the present probabilities: above one, it reaches surer rows."""


def trust(margin: Tensor, clusters: int) -> Tensor:
    """Return the weight (n,) of each row's first guess, by the rank of its margin (n,).

    It is clusters / 2n at least: a walk along the graph then takes 2n / clusters steps at most
    before it ends, and an answer reaches no more rows than a cluster has, however few there are.
    """
    ranks = margin.argsort(stable=True).argsort(stable=True)
    least = max(LEAST, clusters / (2 * len(margin)))
    return least + TRUST * ranks.float() / len(margin)


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


def corrected(graph: Graph, now: Tensor, margin: Tensor, told: Told) -> Tensor:
    """Return probabilities (n, k): those of now, changed near the answers that differ from them.

    What spreads is the difference of each answer from the cluster that its row is in, as residuals
    do in Huang et al., "Combining Label Propagation and Simple Models Out-performs Graph Neural
    Networks" (ICLR 2021). So answers that agree change nothing, and hold up what others change.

    Args:
        graph: of all rows.
        now: (n, k) probabilities.
        margin: (n,) how sure each of them is, of which only the order counts.
        told: the answers.
    """
    weight, change = trust(margin, now.shape[1]), torch.zeros_like(now)
    weight[told.rows] = TOLD
    own = F.one_hot(now[told.rows].argmax(1), now.shape[1]).to(now)
    differs = (told.targets * own).sum(1, keepdim=True) == 0
    change[told.rows] = (told.targets - own) * differs
    return probabilities(now + REACH * spread(graph, weight, change))


class Field(NamedTuple):
    """What is known of every row, and what follows from it by either of two rules."""

    graph: Graph
    weight: Tensor
    """(n,) of what is given of each row."""
    given: Tensor
    """(n, k) first guesses and answers."""
    smooth: Tensor
    """(n, k) what follows where first guesses give way to their neighbours'."""
    kept: Tensor
    """(n, k) what follows where they stay but near answers that differ; see `corrected`."""

    @property
    def probs(self) -> Tensor:
        """Return the mean (n, k) of both, which is of two minds where they differ."""
        return (self.smooth + self.kept) / 2


def completed(graph: Graph, first: Tensor, margin: Tensor, told: Told) -> Field:
    """Return what answers make of all rows.

    Args:
        graph: of all rows.
        first: (n, k) first guesses, one-hot or probabilities.
        margin: (n,) how sure each of them is, of which only the order counts.
        told: the answers.
    """
    weight, given = trust(margin, first.shape[1]), first.float().clone()
    weight[told.rows], given[told.rows] = TOLD, told.targets
    smooth = probabilities(spread(graph, weight, given))
    return Field(graph, weight, given, smooth, corrected(graph, first, margin, told))


def probabilities(scores: Tensor) -> Tensor:
    """Scale scores (n, k) of no sign but plus to rows that sum to one."""
    found = scores.clamp(min=0) + 1e-12
    return found / found.sum(1, keepdim=True)
