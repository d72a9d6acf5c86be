"""The furthest trained stage of a run as one network: from pixels to clusters."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.ops.augment import MEAN, STD


class Model(nn.Module):
    """Pixels (b, 3, side, side) in 0 to 1, RGB, to probabilities (b, k) and unit features (b, d).

    Both are float32. `flip` averages the features of an image and of its mirror image; `bf16` is
    how the backbone computes.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        side: int,
        flip: bool = False,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.side, self.flip, self.bf16 = side, flip, bf16
        mean, std = torch.tensor([MEAN, STD])[:, :, None, None]
        self.register_buffer("scale", 1 / std)
        self.register_buffer("offset", -mean / std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (b, k) and unit features (b, d)."""
        normal = pixels * self.scale + self.offset
        features = self._features(normal)
        if self.flip:
            features = F.normalize(features) + F.normalize(self._features(normal.flip(-1)))
        return self.head(features), F.normalize(features)

    def _features(self, normal: Tensor) -> Tensor:
        with autocast(normal, self.bf16):
            features: Tensor = self.backbone(normal)
        return features.float()


class OfUnitRows(nn.Module):
    """A head that was trained on unit rows, of features (b, d) of any length."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """Return probabilities (b, k)."""
        probs: Tensor = self.head(F.normalize(features))
        return probs


class OfOwnRows(nn.Module):
    """The same of the features of a network that a stage trained, which `embed` did not see."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """Return probabilities (b, k)."""
        probs: Tensor = self.head(F.normalize(features))
        return probs


class OfFeatures(nn.Module):
    """The last layer of a trained network, and what made its probabilities honest, if anything."""

    def __init__(self, layer: nn.Linear, method: nn.Module | None, *, bf16: bool) -> None:
        super().__init__()
        self.layer, self.method, self.bf16 = layer, method, bf16

    def forward(self, features: Tensor) -> Tensor:
        """Return probabilities (b, k)."""
        with autocast(features, self.bf16):
            logits: Tensor = self.layer(features)
        logits = logits.float()
        if self.method is not None:
            logits = self.method.calibrated(logits, features)  # type: ignore[operator]
        return logits.softmax(1)


def autocast(like: Tensor, bf16: bool) -> AbstractContextManager[object]:
    """Compute in bf16 if asked to, on the device of a tensor."""
    return torch.autocast(like.device.type, torch.bfloat16) if bf16 else nullcontext()
