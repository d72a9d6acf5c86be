"""A convolutional network of torchvision up to its last map."""

import re
from collections import OrderedDict

import torch
from torch import Tensor, nn

from spice_cli.models.pretrained import Tower

PARTS = {
    r"(resnet|resnext|wide_resnet).*": "conv1 bn1 relu maxpool layer1 layer2 layer3 layer4",
    r"(efficientnet|mobilenet|densenet|convnext).*": "features",
    r"regnet.*": "stem trunk_output",
}
"""By the network's name, the parts before the pooling, in order."""


class ConvolutionTower(Tower):
    """The parts of a network up to its last map, under their own names, and the map's mean."""

    def __init__(self, name: str, net: nn.Module) -> None:
        super().__init__()
        parts = next(each for known, each in PARTS.items() if re.fullmatch(known, name)).split()
        self.net = nn.Sequential(OrderedDict((part, net.get_submodule(part)) for part in parts))
        self.normed = name.startswith("convnext")
        if self.normed:
            self.net.add_module("classifier", nn.Sequential(net.get_submodule("classifier.0")))
        self.activated = name.startswith("densenet")

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to features (n, d)."""
        pooled = self._map(images).mean((2, 3), keepdim=True, dtype=torch.float32)
        return self._norm(pooled).flatten(1)

    def maps(self, images: Tensor) -> Tensor:
        """Return the last map, normed as the pooled features are."""
        return self._norm(self._map(images))

    def _norm(self, images: Tensor) -> Tensor:
        if self.normed:
            images = self.net.classifier(images)
        return images

    def _map(self, images: Tensor) -> Tensor:
        for name, part in self.net.named_children():
            if name != "classifier":
                images = part(images)
        return nn.functional.relu(images) if self.activated else images
