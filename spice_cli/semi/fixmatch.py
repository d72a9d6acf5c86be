"""FixMatch: confident predictions on weak views teach strong views.

https://arxiv.org/abs/2001.07685; equation 6 of https://arxiv.org/abs/2103.09382.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.frozen import Frozen, Share


class FixMatch(nn.Module):
    """A prediction teaches if its probability reaches a fixed threshold."""

    class Config(Frozen):
        """What a person can set beside the settings of every semi-supervised training."""

        threshold: Share = 0.95
        """Confidence at which a prediction teaches."""

    def __init__(self, clusters: int, config: Config) -> None:
        super().__init__()
        self.config = config

    def forward(self, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unlabelled loss (), and of each image its guess (u,) and if it teaches (u,).

        `weak` and `strong` (u, k) are logits of two views of the same images. Nothing flows back
        through `weak`.
        """
        return taught_by_threshold(weak, strong, self.config.threshold)


def taught_by_threshold(
    weak: Tensor, strong: Tensor, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, guesses and whether they teach, as `FixMatch.forward` does."""
    confidence, guess = weak.detach().softmax(1).max(1)
    sure = (confidence >= threshold).float()
    loss = (F.cross_entropy(strong, guess, reduction="none") * sure).mean()
    return loss, guess, sure
