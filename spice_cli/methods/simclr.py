"""SimCLR: tell the other views of an image from all other images of the batch.

https://arxiv.org/abs/2002.05709
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.methods.plan import Embed, Plan
from spice_cli.methods.projector import projector
from spice_cli.models.backbone import Backbone

Anchors = Literal["both", "first"]


class SimCLR(nn.Module):
    """Views of the same images in, NT-Xent out. `backbone` is what is kept.

    Initial weights come from PyTorch's default generator, as every layer's do.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining."""

        temperature: Positive = 0.5
        """The paper's for CIFAR-10; SCAN uses .1."""
        anchors: Anchors = "both"
        """`first`: only first views look for their other views, as in SCAN."""
        crops: Annotated[int, Field(ge=2)] = 2
        """Views of each image. With twice as many and half the `batch_size` a step costs the same.
        """
        hidden: Annotated[int, Field(ge=0)] | None = None
        """Width of the projector's hidden layer; none is the width of the features, 0 no layer."""
        dim: Count = 128
        """Width of the projections that are compared."""
        batch_norm: bool = False
        """Batch norm in the projector."""

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector(
            backbone.features, config.hidden, config.dim, batch_norm=config.batch_norm
        )
        self.crops = config.crops
        self.config = config

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Take v views (v, n, 3, h, w), all through the backbone as one batch, to a scalar."""
        projections = self.projector(self.backbone(views.flatten(0, 1)))
        unflattened = projections.unflatten(0, views.shape[:2])
        return nt_xent(unflattened, self.config.temperature, self.config.anchors)

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return `projections` (m, dim) of all images, unit rows."""
        rows = embed(lambda x: self.projector(self.backbone(x)))
        return {"projections": F.normalize(rows, out=rows)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail: none."""
        return []


def nt_xent(projections: Tensor, temperature: float, anchors: Anchors = "both") -> Tensor:
    """Mean cross-entropy of picking another view of a row's image among all other images' views.

    Equation 1 for `projections` (v, n, d) of v views of n images. With more than two views each
    other view of the image is picked on its own, the rest of them being left out. `first` takes
    only the first view as anchors. Computed in float32 also under autocast.
    """
    views, images, _ = projections.shape
    with torch.autocast(projections.device.type, enabled=False):
        z = F.normalize(projections.float(), dim=-1).flatten(0, 1)
        anchor = torch.arange(len(z) if anchors == "both" else images, device=z.device)
        logits = z[: len(anchor)] @ z.T / temperature
        step = images * torch.arange(1, views, device=z.device)
        own = logits.gather(1, (anchor[:, None] + step) % len(z))
        place = torch.arange(len(z), device=z.device)
        same = (anchor[:, None] - place) % images == 0
        others = logits.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
        return F.softplus(others - own).mean()
