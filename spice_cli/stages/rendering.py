"""The views of a step of pretraining: drawn for the whole batch, made for the rows asked for."""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.config.views import Views as Config
from spice_cli.ops.augment import draw_contrastive
from spice_cli.ops.residence import take


class Views:
    """Random views of `images` (n, 3, h, w) uint8, `crops` of each."""

    def __init__(self, images: Tensor, config: Config, crops: int) -> None:
        self.images, self.crops, self.settings = images, crops, config.model_dump()
        self.rows = torch.empty(0, dtype=torch.long)
        self.view: Callable[[Tensor, Tensor | None], Tensor]

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draw views of the images at `rows` (b,); return their numbers (crops * b, 1, 1, 1)."""
        self.rows = rows.repeat(self.crops)
        shape = (self.images.shape[2], self.images.shape[3])
        self.view = draw_contrastive(len(self.rows), shape, generator, **self.settings)
        return torch.arange(len(self.rows), device=rows.device).view(-1, 1, 1, 1)

    def render(self, numbers: Tensor) -> Tensor:
        """Return the pixels (m, 3, s, s), channels last, of the views with `numbers` (m, 1, 1, 1).

        They are those of the latest draw.
        """
        which = numbers.flatten()
        whole = len(which) == len(self.rows)
        pixels = self.view(take(self.images, self.rows[which]), None if whole else which)
        return pixels.contiguous(memory_format=torch.channels_last)
