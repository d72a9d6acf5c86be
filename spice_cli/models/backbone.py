"""What every backbone is: a convolutional body, and the mean of its last map.

A builder in the catalogue is `builder(size, *, width=None, stem="auto") -> Backbone`: `size` is the
side of an image in pixels, `width` the channels of the first stage (none: the network's own).
"""

from typing import Literal

import torch
from torch import Tensor, nn

Stem = Literal["auto", "small", "patch", "pool", "imagenet"]


class Backbone(nn.Module):
    """Images (n, 3, h, w) to features (n, `features`), float32 also under autocast."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.features = features

    def maps(self, images: Tensor) -> Tensor:
        """Return the last map before pooling (n, `features`, h', w')."""
        maps: Tensor = self.body(images)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Average the last map over its places."""
        return self.maps(images).mean((2, 3), dtype=torch.float32)


def conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution without bias, padded to keep the size, Kaiming-normal over its fan-out.

    https://arxiv.org/abs/1502.01852
    """
    layer = nn.Conv2d(before, after, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
