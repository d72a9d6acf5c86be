"""Students and the teachers that follow them."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from spice_cli.heads.source import Source


class Couple(nn.Module):
    """Students, the teachers that follow them, their mean outputs (h, k) and losses (h,)."""

    shares: Tensor
    losses: Tensor

    def __init__(self, student: nn.Module, source: Source, heads: int) -> None:
        super().__init__()
        self.student = student
        self.teacher = deepcopy(student).requires_grad_(False)
        new = source.embeddings.new_full
        self.register_buffer("shares", new((heads, source.clusters), 1 / source.clusters))
        self.register_buffer("losses", new((heads,), torch.inf))

    @torch.no_grad()
    def follow(self, ema: float) -> None:
        """Move the teachers towards the students."""
        for old, new in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            old.lerp_(new, 1 - ema)
