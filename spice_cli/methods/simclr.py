"""SimCLR: tell the other view of an image from all other images of the batch.

https://arxiv.org/abs/2002.05709
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config import Count, Frozen, Positive
from spice_cli.methods.projector import projector
from spice_cli.models.backbone import Backbone

Anchors = Literal["both", "first"]


class SimCLR(nn.Module):
    """Two views of the same images in, NT-Xent out. `backbone` is what is kept.

    Initial weights come from PyTorch's default generator, as every layer's do.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining."""

        temperature: Positive = 0.5
        """The paper's for CIFAR-10; SCAN uses .1."""
        anchors: Anchors = "both"
        """`first`: only first views look for their other view, as in SCAN."""
        hidden: Count | None = None
        """Width of the projector's hidden layer; none is the width of the features."""
        dim: Count = 128
        """Width of the projections that are compared."""
        batch_norm: bool = False
        """Batch norm in the projector."""

    def __init__(self, backbone: Backbone, config: Config) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector(
            backbone.features, config.hidden, config.dim, batch_norm=config.batch_norm
        )
        self.config = config

    def forward(self, first: Tensor, second: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (n, 3, h, w) to a scalar; both go through the backbone as one batch."""
        projections = self.projector(self.backbone(torch.cat([first, second])))
        return nt_xent(projections, self.config.temperature, self.config.anchors)

    def faults(self, *, images: int, batch_size: int) -> list[str]:
        """Name settings that are known to fail on a data set of so many images: none."""
        return []


def nt_xent(projections: Tensor, temperature: float, anchors: Anchors = "both") -> Tensor:
    """Mean cross-entropy of picking a row's other view among all rows but itself (equation 1).

    Rows i and n + i of `projections` (2n, d) are views of one image; `first` takes only the first
    n rows as anchors. Computed in float32 also under autocast.
    """
    with torch.autocast(projections.device.type, enabled=False):
        z = F.normalize(projections.float())
        others = torch.arange(len(z), device=z.device).roll(len(z) // 2)
        if anchors == "first":
            others = others[: len(z) // 2]
        logits = (z[: len(others)] @ z.T / temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, others)
