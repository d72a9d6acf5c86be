"""How large each head of SPICE thinks its clusters are, for labelling without equal quotas."""

import torch
from torch import Tensor, nn

from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.sized_labels import Labelled, quotas, sized_labels
from spice_cli.ops.stretch import WHOLE, Stretch

PAST = 0.9
"""Share of the past in the moving average."""
RESTARTS = 2
"""Of the k-means that each head begins with: few, so that heads begin differently."""
LEAST = 5
"""Samples that every cluster gets, so that none dies out for having been small once."""


class Sizes(nn.Module):
    """The shares (h, k) of the images that each head puts into its clusters, a moving average."""

    shares: Tensor

    def __init__(self, heads: int, clusters: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("shares", torch.full((heads, clusters), 1 / clusters, device=device))

    def begin(self, probs: Tensor) -> None:
        """Set them to the `shares_of` of probs (h, n, k)."""
        self.shares.copy_(shares_of(probs))

    def follow(self, probs: Tensor) -> None:
        """Move towards the `shares_of` of probs (h, n, k)."""
        self.shares.lerp_(shares_of(probs), 1 - PAST)

    def labels(self, features: Tensor, probs: Tensor, *, ratio: float) -> Labelled:
        """Label features (n, d) with quotas by these shares, as many in all as equal ones are."""
        return labels_by(self.shares, features, probs, ratio)


def labels_by(shares: Tensor, features: Tensor, probs: Tensor, ratio: float) -> Labelled:
    """Label features (n, d) by probs (h, n, k) with quotas in proportion to shares (h, k)."""
    _, n, k = probs.shape
    return sized_labels(features, probs, quotas(shares, n // k * k, LEAST), ratio=ratio)


def starts(
    features: Tensor,
    heads: int,
    clusters: int,
    generator: torch.Generator,
    stretch: Stretch = WHOLE,
) -> Tensor:
    """Return the centres (h, k, d) of a spherical k-means of features (n, d) for each head.

    Heads that know nothing would share the images out evenly, cut large clusters up for it and put
    small ones together; no later sizes would undo that.
    """
    found = [
        kmeans(features, clusters, generator=generator, restarts=RESTARTS, stretch=stretch)
        for _ in range(heads)
    ]
    return torch.stack([each.centers for each in found])


def shares_of(probs: Tensor) -> Tensor:
    """Return the share (h, k) of samples for which probs (h, n, k) of a cluster are highest."""
    heads, n, k = probs.shape
    counts = probs.new_zeros(heads, k)
    guess = probs.argmax(2)
    return counts.scatter_add_(1, guess, torch.ones_like(guess, dtype=counts.dtype)) / n


def by_cluster(losses: Tensor, label: Tensor, probs: Tensor) -> Tensor:
    """Return the mean over clusters of the mean loss of each, from losses and labels (m,).

    Else large clusters would speak for all, and one that swallowed others would look best.
    """
    sums, counts = losses.new_zeros(2, probs.shape[1])
    sums.index_add_(0, label, losses)
    counts.index_add_(0, label, torch.ones_like(losses))
    mean: Tensor = (sums / counts.clamp_min(1)).mean()
    return mean
