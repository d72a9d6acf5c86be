"""Which cluster labels to trust: those that nearest neighbours share.

https://arxiv.org/abs/2103.09382, section 3.3, and the filters that its released code adds.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

Balance = Literal["smallest", "none"]


@dataclass(frozen=True)
class Verdict:
    """What a way of selecting says of every sample, before clusters are balanced."""

    kept: Tensor
    """(n,) bool."""
    consistency: Tensor
    """(n,) float32, the share of a sample's neighbourhood with its label, itself included."""
    notes: dict[str, float] = field(default_factory=dict)
    """What the log should know of how it was reached."""


@dataclass(frozen=True)
class Reliable:
    """The samples whose label is trusted."""

    index: Tensor
    """(m,) int64, ascending."""
    label: Tensor
    """(m,) int64, the cluster of each."""
    consistency: Tensor
    """(n,) float32, as in `Verdict`, of every sample."""


def agreeing(neighbors: Tensor, labels: Tensor) -> Tensor:
    """Return how many (r,) int64 of the neighbours (r, v) have the label of the first of them.

    Equation 5, times v; column 0 is the sample itself, and counts. Labels (n,) are of all samples.
    """
    return (labels[neighbors] == labels[neighbors[:, :1]]).sum(1)


def locally_consistent(
    agree: Tensor,
    voters: int,
    probs: Tensor,
    *,
    agreement: float,
    strict: bool,
    confidence: float,
) -> Verdict:
    """Keep the samples that are confident and with which enough neighbours agree.

    A sample's label is its most probable cluster of `probs` (n, k), and `agree` (n,) of the
    `voters` neighbours, itself among them, have it. It is kept if that is at least the share
    `agreement` (`strict`: more than that, as the paper has it) and its probability exceeds
    `confidence`. The count is compared exactly: .99 of 100 is 99.
    """
    kept = (agree >= _needed(agreement, voters, strict)) & (probs.amax(1) > confidence)
    return Verdict(kept, agree / voters)


def select(
    verdict: Verdict,
    probs: Tensor,
    *,
    balance: Balance,
    min_per_cluster: int,
    generator: torch.Generator,
) -> Reliable:
    """Select the samples kept, by their most probable cluster of `probs` (n, k), in this order.

    - A cluster that keeps fewer than `min_per_cluster` takes that many of its members instead (all
      if it has fewer), the most consistent first, then the most confident, then the lowest index.
    - `balance="smallest"` cuts every cluster at random to the size of the smallest one that has
      any. Clusters that have none stay empty and do not count: check with `counts`.
    """
    score, label = probs.max(1)
    kept = verdict.kept
    if min_per_cluster:
        order = score.argsort(descending=True, stable=True)
        order = order[verdict.consistency[order].argsort(descending=True, stable=True)]
        short = counts(label[kept], probs.shape[1]) < min_per_cluster
        kept = torch.where(short[label], _rank(label, order) < min_per_cluster, kept)
    index = kept.nonzero().squeeze(1)
    if balance == "smallest" and len(index):
        sizes = counts(label[index], probs.shape[1])
        drawn = torch.rand(len(index), generator=generator, device=index.device)
        order = drawn.argsort(stable=True)
        index = index[_rank(label[index], order) < sizes[sizes > 0].min()]
    return Reliable(index, label[index], verdict.consistency)


def counts(label: Tensor, clusters: int) -> Tensor:
    """Return how many labels (clusters,) int64 each cluster has among `label` (m,)."""
    return torch.bincount(label, minlength=clusters)


def _needed(agreement: float, neighbors: int, strict: bool) -> int:
    """Least number of agreeing neighbours; `agreement` is the decimal that it was written as."""
    share = Fraction(str(agreement)) * neighbors
    return math.floor(share) + 1 if strict else math.ceil(share)


def _rank(label: Tensor, order: Tensor) -> Tensor:
    """Place (n,) of each sample in its cluster, from 0, when clusters are filled in `order`."""
    grouped = order[label[order].argsort(stable=True)]
    sizes = torch.bincount(label)
    starts = sizes.cumsum(0) - sizes
    places = torch.arange(len(label), device=label.device) - starts[label[grouped]]
    return torch.empty_like(places).scatter_(0, grouped, places)
