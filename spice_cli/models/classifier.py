"""A backbone with one linear layer on top."""

from torch import Tensor, nn

from spice_cli.models.backbone import Backbone


class Classifier(nn.Module):
    """Images (n, 3, h, w) to logits (n, k)."""

    def __init__(self, backbone: Backbone, clusters: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.features, clusters)

    def forward(self, images: Tensor) -> Tensor:
        """Classify."""
        logits: Tensor = self.fc(self.backbone(images))
        return logits
