"""A mixture of Gaussians with diagonal covariances, by expectation and maximisation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.stretch import WHOLE, Stretch

BLOCK_BYTES = 2**26
EPSILON = 10 * torch.finfo(torch.float64).eps
"""Added to every component's mass, as in scikit-learn, so that none divides by nothing."""


@dataclass(frozen=True)
class Mixture:
    """Components of a mixture, all float64."""

    weights: Tensor
    """(k,), summing to one."""
    means: Tensor
    """(k, d)."""
    variances: Tensor
    """(k, d)."""


def fit(
    features: Tensor,
    labels: Tensor,
    clusters: int,
    *,
    iterations: int = 100,
    tolerance: float = 1e-3,
    regularisation: float = 1e-6,
    stretch: Stretch = WHOLE,
) -> Mixture:
    """Fit a mixture to `features` (n, d), starting from the clusters `labels` (n,) int64.

    Ends after `iterations`, or when the mean log-likelihood of a sample changes by less than
    `tolerance` in one. `regularisation` is added to every variance. As scikit-learn's
    `GaussianMixture(covariance_type="diag")`; computed in float64, block by block, so that beside
    the features it takes some 64 MB. Waits for the device once an iteration. Processes that each
    go through a `stretch` of the samples return the same bits.
    """
    own = stretch.of(len(features))
    mixture = start(features, labels, clusters, regularisation=regularisation, stretch=stretch)
    before = -math.inf
    for _ in range(iterations):
        mass, sums, squares = _nothing(features, clusters)
        total = features.new_zeros((), dtype=torch.float64)
        for block in _blocks(features[own], clusters):
            found = log_joint(block, mixture)
            likelihood = found.logsumexp(1, keepdim=True)
            _add((found - likelihood).exp(), block, mass, sums, squares)
            total += likelihood.sum()
        stretch.sum(mass, sums, squares, total)
        mixture = _maximised(mass, sums, squares, regularisation)
        mean = float(total / len(features))
        if abs(mean - before) < tolerance:
            break
        before = mean
    return mixture


def start(
    features: Tensor,
    labels: Tensor,
    clusters: int,
    *,
    regularisation: float,
    stretch: Stretch = WHOLE,
) -> Mixture:
    """Return the mixture whose components are the clusters `labels` (n,) of `features` (n, d)."""
    mass, sums, squares = _nothing(features, clusters)
    own = stretch.of(len(features))
    done = own.start
    for block in _blocks(features[own], clusters):
        some = labels[done : done + len(block)]
        _add(F.one_hot(some, clusters).double(), block, mass, sums, squares)
        done += len(block)
    stretch.sum(mass, sums, squares)
    return _maximised(mass, sums, squares, regularisation)


def log_responsibilities(
    features: Tensor, mixture: Mixture, stretch: Stretch = WHOLE
) -> tuple[Tensor, Tensor]:
    """Return log p(component | sample) (n, k) float32, and the mean log p(sample) () float64.

    Of the samples' logarithms a process returns those of its own `stretch` (m, k).
    """
    clusters, own = len(mixture.weights), features[stretch.of(len(features))]
    logs = torch.empty(len(own), clusters, device=features.device)
    total = features.new_zeros((), dtype=torch.float64)
    done = 0
    for block in _blocks(own, clusters):
        found = log_joint(block, mixture)
        likelihood = found.logsumexp(1, keepdim=True)
        logs[done : done + len(block)] = found - likelihood
        total += likelihood.sum()
        done += len(block)
    stretch.sum(total)
    return logs, total / len(features)


def log_joint(features: Tensor, mixture: Mixture) -> Tensor:
    """Return log p(component, sample) (n, k) of features (n, d) float64.

    log w - (d log 2 pi + sum of log variances + sum of (x - mean)^2 / variance) / 2.
    """
    precision = mixture.variances.reciprocal()
    distance = (
        (mixture.means.square() * precision).sum(1)
        - 2 * features @ (mixture.means * precision).T
        + features.square() @ precision.T
    )
    volume = features.shape[1] * math.log(2 * math.pi) + mixture.variances.log().sum(1)
    return mixture.weights.log() - (volume + distance) / 2


def _blocks(features: Tensor, clusters: int) -> Iterator[Tensor]:
    size = max(1, BLOCK_BYTES // (8 * (2 * features.shape[1] + 3 * clusters)))
    return (block.double() for block in torch.split(features, size))


def _nothing(features: Tensor, clusters: int) -> tuple[Tensor, Tensor, Tensor]:
    mass = features.new_zeros(clusters, dtype=torch.float64)
    sums = features.new_zeros((clusters, features.shape[1]), dtype=torch.float64)
    return mass, sums, sums.clone()


def _add(shares: Tensor, block: Tensor, mass: Tensor, sums: Tensor, squares: Tensor) -> None:
    """Add what samples (b, d), shared out among components by (b, k), sum to."""
    mass += shares.sum(0)
    sums += shares.T @ block
    squares += shares.T @ block.square()


def _maximised(mass: Tensor, sums: Tensor, squares: Tensor, regularisation: float) -> Mixture:
    mass = mass + EPSILON
    means = sums / mass[:, None]
    spread = (squares / mass[:, None] - means.square()).clamp(min=0)
    return Mixture(mass / mass.sum(), means, spread + regularisation)
