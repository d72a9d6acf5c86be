"""Networks that other programs trained: their own preprocessing around them, and what is known.

A family of them is a class in the catalogue's `PRETRAINED`, made from the name behind the slash.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field, JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Frozen
from spice_cli.models.backbone import Backbone
from spice_cli.ops.augment import MEAN, STD

Colour = tuple[float, float, float]


class Facts(Frozen):
    """What must be known of a network to build it again, and to say where it comes from."""

    side: int
    """Of the square in pixels that it looks at; images of other sides are resized to it."""
    patch: int | None = 1
    """What other sides are multiples of; none: it takes no other side."""
    mean: Colour
    std: Colour
    title: str
    trained: str
    """On what, as in `trained on ImageNet's labels`."""
    architecture: dict[str, JsonValue] = Field(default_factory=dict)
    """For families whose names alone do not say it."""

    def at(self, size: int) -> "Facts":
        """Return these for images of `size` pixels: its own side where they are much smaller."""
        fits = self.patch is not None and size % self.patch == 0 and 2 * size >= self.side
        return self.model_copy(update={"side": size}) if fits else self


class Family(Protocol):
    """One network of a family, by its name."""

    def locate(self, say: Callable[[str], None]) -> Path:
        """Return the file with its weights, fetched if need be; else raise MissingError."""

    def facts(self, file: Path, *, own: bool) -> Facts:
        """Return what is known of it; `own` says that a person chose the file."""

    def build(self, facts: Facts) -> "Pretrained":
        """Build it with random weights."""

    def load(self, facts: Facts, tensors: Mapping[str, Tensor]) -> "Pretrained":
        """Build it with the weights of a file; raise InvalidError where they do not fit."""


class Tower(nn.Module):
    """A network without its classifier: images (n, 3, h, w) to features (n, d)."""

    net: Any

    def maps(self, images: Tensor) -> Tensor:
        """Return features of places (n, d, h', w')."""
        raise NotImplementedError


class Pretrained(Backbone):
    """A tower behind the preprocessing it was trained with.

    Pixels come with ImageNet's normalisation, as `ops/augment` leaves them.
    """

    body: Tower
    scale: Tensor
    offset: Tensor

    def __init__(self, tower: Tower, features: int, facts: Facts) -> None:
        super().__init__(tower, features)
        self.side = facts.side
        ours, std = torch.tensor([MEAN, STD]), torch.tensor(facts.std)
        scale, offset = ours[1] / std, (ours[0] - torch.tensor(facts.mean)) / std
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("offset", offset[:, None, None], persistent=False)

    def maps(self, images: Tensor) -> Tensor:
        """Return features of places (n, `features`, h', w')."""
        return self.body.maps(self._seen(images))

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network itself makes of an image, pooled as it pools."""
        pooled: Tensor = self.body(self._seen(images))
        return pooled.float()

    def _seen(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.side:
            size = (self.side, self.side)
            images = F.interpolate(images, size, mode="bicubic", antialias=True)
        return images * self.scale + self.offset
