"""When to stop without labels: predictions that no longer change."""

import torch
from torch import Tensor, nn


class Settled(nn.Module):
    """Compares predictions of the same images from look to look. Its buffers are all it remembers.

    The first look finds everything changed.
    """

    guess: Tensor
    calm: Tensor

    def __init__(self, images: int, *, share: float, patience: int) -> None:
        super().__init__()
        self.share = share
        self.patience = patience
        self.register_buffer("guess", torch.full((images,), -1))
        self.register_buffer("calm", torch.zeros((), dtype=torch.long))

    def look(self, guess: Tensor) -> float:
        """Return the share of the clusters `guess` (images,) that differ from the last look's."""
        changed = float((guess != self.guess).float().mean())
        self.guess.copy_(guess)
        self.calm.copy_((self.calm + 1) * (changed < self.share))
        return changed

    @property
    def over(self) -> bool:
        """Whether less than `share` changed at each of the last `patience` looks."""
        return int(self.calm) >= self.patience
