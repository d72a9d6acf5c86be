"""SCAN's self-labelling step: whatever the head is sure of (https://arxiv.org/abs/2005.12320).

There each class weighs the less in the loss the more sure images it has; here `balance` may cut the
larger ones instead. It is off unless asked for, for a cut that small clusters rule loses most.
"""

from typing import ClassVar, Literal

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.frozen import Frozen, Share
from spice_cli.ops.reliable import Verdict


class Scan:
    """A label is trusted if its probability is high enough; neighbours have no say."""

    uneven: ClassVar[dict[str, JsonValue]] = {"balance": "none"}

    class Config(Frozen):
        """What a person can set beside the settings of every selection."""

        confidence: Share = 0.99
        """Probability that must be exceeded."""
        balance: Literal["smallest", "none"] = "none"

    def __init__(self, config: Config) -> None:
        self.neighbors = 1
        self.balance = config.balance
        self.confidence = config.confidence

    def hear(self, neighbors: Tensor, labels: Tensor) -> Tensor:
        """Return nothing of the only neighbours (r, 1), which are the samples themselves."""
        return neighbors[:, :0]

    def judge(self, heard: Tensor, voters: int, probs: Tensor) -> Verdict:
        """Judge the samples of probs (n, k)."""
        score = probs.amax(1)
        return Verdict(score > self.confidence, torch.ones_like(score))

    def looser(self) -> dict[str, float]:
        """Name settings that keep more."""
        return {"confidence": self.confidence / 2}
