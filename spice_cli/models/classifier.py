"""A backbone with one linear layer on top."""

from torch import Tensor, nn


class Classifier(nn.Module):
    """Images (n, 3, h, w) to logits (n, k)."""

    def __init__(self, backbone: nn.Module, clusters: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(int(backbone.features), clusters)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Classify."""
        logits: Tensor = self.fc(self.backbone(images))
        return logits
