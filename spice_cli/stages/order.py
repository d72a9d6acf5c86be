"""The order in which an epoch sees its images, alike in every process and after every restart."""

import json

import torch
from torch import Tensor, nn

from spice_cli.ops.draw import weighted
from spice_cli.ops.hardware import memory
from spice_cli.ops.shuffle import shuffled, window_of
from spice_cli.stages.group import Group


class Order(nn.Module):
    """Shuffles images within the window that the first process had memory for when it started.

    It is part of the checkpoint: whoever goes on, with however much memory, has the same order.
    """

    window: Tensor

    def __init__(self, images: Tensor, group: Group) -> None:
        super().__init__()
        told = group.told(json.dumps(window_of(images, memory())))
        self.register_buffer("window", torch.tensor(json.loads(told)))
        self.images = len(images)

    def forward(self, drawn: int, weights: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return the places (drawn,) of images: each once, or by the `weights` (n,) of all."""
        if weights is not None:
            return weighted(weights, drawn, generator)
        window, block = self.window.tolist()
        return shuffled(self.images, generator, window=window, block=block)[:drawn]
