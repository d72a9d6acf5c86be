"""Losses of SCAN (Van Gansbeke et al., ECCV 2020, https://arxiv.org/abs/2005.12320)."""

import torch
from torch import Tensor

from spice_cli.ops.losses import mean_entropy, plain

FLOOR = 1e-8
"""Least share of a cluster that the entropy takes the logarithm of, as in the reference."""


def inconsistency(one: Tensor, other: Tensor) -> Tensor:
    """Return -log <p, q> (...) from the logarithms (..., k) of two images' probabilities.

    What the reference calls binary cross-entropy with target one; taken in logarithms, so that it
    needs no clamp where p and q do not meet.
    """
    return -(one + other).logsumexp(-1)


def scan_loss(anchors: Tensor, neighbors: Tensor, entropy: float) -> Tensor:
    """Return the loss (...) of logits (..., n, k) of images and of one neighbour of each.

    Equation 2: the mean of -log <p, q> over the images, less `entropy` times the entropy of their
    mean probabilities p. Its least value is -`entropy` log k: it is negative where all is well.
    """
    logs = anchors.log_softmax(-1)
    pairs = inconsistency(logs, neighbors.log_softmax(-1)).mean(-1)
    return pairs - entropy * mean_entropy(logs.exp(), FLOOR)


def selection_loss(logits: Tensor, neighbors: Tensor) -> Tensor:
    """Return what epochs and heads are chosen by, (), from logits (n, k) of all images.

    The mean of -log <p, q> over every image and each of its `neighbors` (n, m) int64, of which it
    is the first itself, less the entropy of the mean probabilities.
    """
    logs = logits.log_softmax(-1)
    columns = [inconsistency(logs, logs[column]).mean() for column in neighbors.unbind(1)]
    return torch.stack(columns).mean() - mean_entropy(logs.exp(), FLOOR)


def confident_loss(
    weak: Tensor, strong: Tensor, *, threshold: float, balance: bool
) -> tuple[Tensor, Tensor]:
    """Return the self-labelling loss () and which images (n,) bool it is about.

    Section 2.3: images whose weak view is of one class with more than `threshold` (logits `weak`
    (n, k), not learnt from) teach it to their strong views, `strong` (n, k), by cross-entropy: the
    mean over these images or, with `balance`, over the classes present, of the mean of each class.
    Nothing where no image is sure.
    """
    sure, label = weak.detach().softmax(1).max(1)
    kept = sure > threshold
    weight = kept.to(strong.dtype)
    if balance:
        sizes = weight.new_zeros(weak.shape[1]).index_add_(0, label, weight)
        weight = weight / sizes[label].clamp(min=1)
    return (weight * plain(strong, label)).sum() / weight.sum().clamp(min=1e-6), kept
