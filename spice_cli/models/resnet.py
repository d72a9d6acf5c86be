"""Residual networks, with the stem that fits the image.

https://arxiv.org/abs/1512.03385
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.models.backbone import Backbone, Stem, conv


def small(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """Three stages of one block each, for tiny images and CPUs: 256 features."""
    return _resnet(size, (1, 1, 1), width, stem)


def resnet14(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """Three stages of two blocks each: 256 features. With the `patch` stem it is made for CPUs."""
    return _resnet(size, (2, 2, 2), width, stem)


def resnet18(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """ResNet-18: 512 features."""
    return _resnet(size, (2, 2, 2, 2), width, stem)


def resnet34(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """ResNet-34: 512 features. With the `pool` stem it is the reference's `clusterresnet`."""
    return _resnet(size, (3, 4, 6, 3), width, stem)


def resnet50(size: int, *, width: int | None = None, stem: Stem = "auto") -> Backbone:
    """ResNet-50, of bottlenecks: 2048 features."""
    return _resnet(size, (3, 4, 6, 3), width, stem, bottleneck=True)


def _resnet(
    size: int, blocks: Sequence[int], width: int | None, stem: Stem, *, bottleneck: bool = False
) -> Backbone:
    block = Bottleneck if bottleneck else BasicBlock
    width = width or 64
    stages, before = [], width
    for index, count in enumerate(blocks):
        after = width * 2**index * block.EXPANSION
        first = block(before, after, 1 if index == 0 else 2)
        stages.append(nn.Sequential(first, *(block(after, after) for _ in range(count - 1))))
        before = after
    body = nn.Sequential(OrderedDict(stem=_stem(size, width, stem), stages=nn.Sequential(*stages)))
    return Backbone(body, before)


def _stem(size: int, width: int, stem: Stem) -> nn.Sequential:
    if stem == "auto":
        stem = "small" if size <= 48 else "pool" if size <= 112 else "imagenet"
    kernel, stride = {"patch": (4, 2), "imagenet": (7, 2)}.get(stem, (3, 1))
    first = conv(3, width, kernel, stride)
    layers = [first, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    if stem == "pool":
        layers.append(nn.MaxPool2d(2, 2, padding=1))
    if stem == "imagenet":
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is projected where the shape changes."""

    EXPANSION = 1

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(before, after, 3, stride), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = conv(after, after, 3), nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """A 3x3 convolution on a quarter of the channels, between two 1x1, beside a shortcut.

    The 3x3 convolution has the stride, as torchvision and those who build on it have it.
    """

    EXPANSION = 4

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        inner = after // self.EXPANSION
        self.conv1, self.bn1 = conv(before, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, after, 1), nn.BatchNorm2d(after)
        self.downsample = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x), inplace=True)


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))
