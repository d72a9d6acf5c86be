"""A timm network without its classifier, whatever kind of map it makes."""

from typing import Any

import torch
from torch import Tensor, nn

from spice_cli.models.pretrained import Tower


class TimmTower(Tower):
    """Pools as the network's own head does, of which only the classifier is left out."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.features = int(getattr(net, "head_hidden_size", None) or net.num_features)
        self.last = getattr(net, "output_fmt", None) == "NHWC"
        self.by_place = self._pools_one_place()

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to features (n, d)."""
        pooled: Tensor = self.net.forward_head(self.net.forward_features(images), pre_logits=True)
        return pooled

    def maps(self, images: Tensor) -> Tensor:
        """Return the head's features of each place alone; of transformers, each patch's token."""
        found: Tensor = self.net.forward_features(images)
        if found.ndim == 3:
            patches = found[:, getattr(self.net, "num_prefix_tokens", 0) or 0 :]
            norm = getattr(self.net, "fc_norm", None)
            tokens: Tensor = norm(patches) if isinstance(norm, nn.Module) else patches
            n, count, width = tokens.shape
            side = round(count**0.5)
            return tokens.mT.reshape(n, width, side, side)
        places = found if self.last else found.permute(0, 2, 3, 1)
        if self.by_place:
            each = self._head(places.reshape(-1, places.shape[-1]))
            places = each.reshape(*places.shape[:3], -1)
        return places.permute(0, 3, 1, 2)

    def _head(self, places: Tensor) -> Tensor:
        alone = places[:, None, None] if self.last else places[:, :, None, None]
        pooled: Tensor = self.net.forward_head(alone, pre_logits=True)
        return pooled

    @torch.no_grad()
    def _pools_one_place(self) -> bool:
        """Tell whether the head takes a map of one place; those that attend need all of them."""
        self.net.eval()
        try:
            pooled = self._head(torch.zeros(1, self.net.num_features))
        except (RuntimeError, AttributeError, AssertionError, ValueError, TypeError, IndexError):
            return False
        return pooled.shape == (1, self.features)
