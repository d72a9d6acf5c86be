"""FreeMatch: thresholds follow the model's own confidence, overall and in each cluster.

https://arxiv.org/abs/2205.07246
"""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Frozen, Share
from spice_cli.semi.average import Average

TINY = 1e-12


class FreeMatch(nn.Module):
    """A prediction teaches if it is as sure as is usual, which for rarer clusters is less.

    The averages forget their start faster than the paper's (see `Average`).
    """

    uneven: ClassVar[dict[str, JsonValue]] = {"fairness": 0}

    class Config(Frozen):
        """What a person can set beside the settings of every semi-supervised training."""

        average: Share = 0.999
        """Share of the past in the moving averages that thresholds are made of."""
        fairness: Annotated[float, Field(ge=0)] = 0.01
        """Weight of the fairness loss within the unlabelled one; the paper's is .01 or .05."""

    def __init__(self, clusters: int, config: Config) -> None:
        super().__init__()
        self.config = config
        even = torch.full((clusters,), 1 / clusters)
        self.confidence = Average(even[0], config.average)
        self.mean = Average(even, config.average)
        self.members = Average(even, config.average)

    def forward(self, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unlabelled loss (), and of each image its guess (u,) and if it teaches (u,).

        `weak` and `strong` (u, k) are float32 logits of two views of the same images. Nothing flows
        back through `weak`.
        """
        probs = weak.detach().softmax(1)
        confidence, guess = probs.max(1)
        overall = self.confidence(confidence.mean())
        mean = self.mean(probs.mean(0))
        members = self.members(_count(guess, torch.ones_like(confidence), probs) / len(probs))
        threshold = mean / mean.max() * overall
        sure = (confidence >= threshold[guess]).float()
        loss = (F.cross_entropy(strong, guess, reduction="none") * sure).mean()
        expected = mean / members.clamp_min(TINY)
        return loss + self.config.fairness * fairness(strong, sure, expected), guess, sure


def fairness(strong: Tensor, sure: Tensor, expected: Tensor) -> Tensor:
    """Return the self-adaptive fairness loss, -H(expected, mean prediction / histogram), a scalar.

    Of the logits `strong` (u, k) those with `sure` (u,) of 1 count, none of them making 0.
    `expected` (k,) and the quotient are divided by their sums; clusters without a prediction have
    no part in the quotient.
    """
    probs = strong.softmax(1)
    count = _count(probs.argmax(1), sure, probs)
    found = (probs * sure[:, None]).sum(0) / count.clamp_min(1)
    found = torch.where(count > 0, found, 0)
    found = found / found.sum().clamp_min(TINY)
    logs = torch.where(count > 0, found, 1).log()
    return (expected / expected.sum() * logs).sum()


def _count(label: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    return like.new_zeros(like.shape[1]).scatter_add_(0, label, weight)
