"""SoftMatch: every prediction teaches, the less the further its confidence is below average.

https://arxiv.org/abs/2301.10921
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Frozen, Share
from spice_cli.semi.average import Average

NARROW = 2
"""By how much the authors' code narrows the Gaussian; in the paper it is as wide as measured."""
TINY = 1e-12


class SoftMatch(nn.Module):
    """Predictions teach by a truncated Gaussian of their confidence.

    The averages forget their start faster than the paper's (see `Average`).
    """

    uneven: ClassVar[dict[str, JsonValue]] = {"align": False}

    class Config(Frozen):
        """What a person can set beside the settings of every semi-supervised training."""

        average: Share = 0.999
        """Share of the past in the moving mean and variance of the confidence."""
        align: bool = True
        """Weigh as if all clusters were predicted equally often (uniform alignment)."""

    def __init__(self, clusters: int, config: Config) -> None:
        super().__init__()
        self.config = config
        even = torch.full((clusters,), 1 / clusters)
        self.mean = Average(even, config.average)
        self.confidence = Average(even[0], config.average)
        self.variance = Average(torch.ones(()), config.average)

    def forward(self, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unlabelled loss (), and of each image its guess and its weight (u,), 0 to 1.

        `weak` and `strong` (u, k) are float32 logits of two views of the same images. Nothing flows
        back through `weak`.
        """
        probs = weak.detach().softmax(1)
        guess = probs.argmax(1)
        if self.config.align:
            probs = probs / self.mean(probs.mean(0)).clamp_min(TINY)
            probs = probs / probs.sum(1, keepdim=True)
        confidence = probs.amax(1)
        center = self.confidence(confidence.mean())
        variance = self.variance(confidence.var(correction=min(1, len(confidence) - 1)))
        below = NARROW * (confidence - center).clamp_max(0)
        trust = (-below.square() / (2 * variance.clamp_min(TINY))).exp()
        loss = (F.cross_entropy(strong, guess, reduction="none") * trust).mean()
        return loss, guess, trust
