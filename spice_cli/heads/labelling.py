"""What TURTLE minimises: labels that linear classifiers of every feature space can learn.

Gadetsky et al., ICML 2024, https://arxiv.org/abs/2406.07236. Labels and logits are (h, n, k): h
restarts that know nothing of each other, n images, k clusters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def task_labels(logits: Sequence[Tensor]) -> Tensor:
    """Return the labels (h, n, k): the mean over feature spaces of softmaxed logits (h, n, k)."""
    return torch.stack([each.softmax(-1) for each in logits]).mean(0)


def residual(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient (h, n, k), by the logits, of their mean cross-entropy with the labels."""
    return (logits.softmax(-1) - labels) / logits.shape[1]


def outer_loss(labels: Tensor, logits: Sequence[Tensor], gamma: float) -> Tensor:
    """Return each restart's loss (h,): sum over spaces of CE(logits; labels) - gamma H(mean label).

    Cross-entropies are means over images, in nats. Gradients flow to the labels, and to logits
    that have any.
    """
    each = [(labels * own.log_softmax(-1)).sum(-1).mean(-1) for own in logits]
    cross = -torch.stack(each).sum(0)
    entropy: Tensor = torch.special.entr(labels.mean(1)).sum(-1)
    return cross - gamma * entropy


def standardised(rows: Tensor, train: int) -> Tensor:
    """Centre rows (m, d) and scale them so that the first `train` of them have mean square 1."""
    mean, size = mean_and_size(rows[:train])
    return (rows - mean) / size


def mean_and_size(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (d,) of rows (n, d), and the root of their mean square () around it."""
    mean = rows.mean(0)
    size = (rows - mean).square().sum(1).mean().sqrt()
    return mean, size.clamp(min=torch.finfo(rows.dtype).tiny)
