"""Wide residual networks with activation before convolution, as FixMatch trains them.

https://arxiv.org/abs/1605.07146, with leaky ReLU and slow batch statistics as in
https://arxiv.org/abs/2001.07685.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.errors import UsageError
from spice_cli.models.backbone import Backbone, Stem, conv

SLOPE = 0.1
"""Of the leaky ReLU below zero."""
STEM = 16
"""Channels before the first stage, whatever the width."""


def wrn28_2(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """WRN-28-2: 128 features. FixMatch's network for CIFAR-10."""
    return _wide_resnet("wrn28-2", (1, 2, 2), width or 32, stem)


def wrn28_8(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """WRN-28-8: 512 features. FixMatch's network for CIFAR-100."""
    return _wide_resnet("wrn28-8", (1, 2, 2), width or 128, stem)


def wrn37_2(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """WRN-37-2, a fourth stage on top of 28-2: 256 features. FixMatch's network for STL-10.

    Above 64 pixels the first stage halves the map too, which ends as 6x6 at 96 pixels.
    """
    return _wide_resnet("wrn37-2", (2 if size > 64 else 1, 2, 2, 2), width or 32, stem)


def _wide_resnet(name: str, strides: Sequence[int], width: int, stem: Stem) -> Backbone:
    if stem not in ("auto", "small"):
        raise UsageError(
            f"`{name}` has no `{stem}` stem: it begins with a 3x3 convolution",
            hint="--set stem=auto",
        )
    stages, before = [], STEM
    for index, stride in enumerate(strides):
        after = width * 2**index
        first = PreActivationBlock(before, after, stride, activate_shortcut=index == 0)
        rest = (PreActivationBlock(after, after) for _ in range(3))
        stages.append(nn.Sequential(first, *rest))
        before = after
    body = nn.Sequential(
        OrderedDict(
            stem=conv(3, STEM, 3),
            stages=nn.Sequential(*stages),
            bn=_batch_norm(before),
            activation=nn.LeakyReLU(SLOPE, inplace=True),
        )
    )
    return Backbone(body, before)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=0.001)


class PreActivationBlock(nn.Module):
    """Twice batch norm, leaky ReLU and a 3x3 convolution, beside a shortcut.

    A shortcut between different shapes is a 1x1 convolution of the input itself, or, with
    `activate_shortcut`, of the input after the first batch norm and activation.
    """

    def __init__(
        self, before: int, after: int, stride: int = 1, *, activate_shortcut: bool = False
    ) -> None:
        super().__init__()
        self.bn1, self.conv1 = _batch_norm(before), conv(before, after, 3, stride)
        self.bn2, self.conv2 = _batch_norm(after), conv(after, after, 3)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else conv(before, after, 1, stride)
        self.activate_shortcut = activate_shortcut and not same

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        active = F.leaky_relu(self.bn1(x), SLOPE, inplace=True)
        out = F.leaky_relu(self.bn2(self.conv1(active)), SLOPE, inplace=True)
        total: Tensor = self.conv2(out) + self.shortcut(active if self.activate_shortcut else x)
        return total
