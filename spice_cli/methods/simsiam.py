"""SimSiam: foretell what the network itself makes of the other view of an image.

https://arxiv.org/abs/2011.10566, at the settings of ProPos, whose baseline it is.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen
from spice_cli.methods.plan import Embed, Plan, Rate
from spice_cli.methods.splits import check_splits, in_parts
from spice_cli.models.backbone import Backbone
from spice_cli.models.split_batch_norm import split_batch_norm


class SimSiam(nn.Module):
    """Two views of the same images in, -cos out (equation 1), the mean of both directions.

    The projections that are foretold get no gradient. `backbone` is kept, with its batch norms
    split in place; what ProPos clusters are its projections. Each view passes batch norms on its
    own.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining.

        The defaults are those of ProPos' baseline on CIFAR-10. That hidden layers of the projector
        are as wide as its output is our reading, from the paper's projector for CIFAR.
        """

        layers: Literal[2, 3] = 2
        """Linear layers of the projector; the paper has 3 on ImageNet."""
        dim: Count | None = None
        """Width of the projections, and of hidden layers; none is 4 times the width of the
        features, at most 2048. The predictor narrows to a quarter of it."""
        affine: bool = True
        """Scale and shift in the batch norm that ends the projector; the paper's code has none."""
        fixed_predictor: bool = True
        """Keep the predictor at the highest learning rate throughout."""
        splits: Count = 1
        """Parts of a batch that batch norm treats on their own; 1 is plain batch norm."""

    crops = 2
    """Views of each image."""

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        dim = config.dim or min(4 * backbone.features, 2048)
        widths = [backbone.features, *[dim] * config.layers]
        hidden = [_hidden(*pair) for pair in pairwise(widths[:-1])]
        split_batch_norm(backbone, 2 * config.splits)
        self.backbone = backbone
        self.projector = nn.Sequential(
            *hidden,
            nn.Linear(widths[-2], dim, bias=False),
            nn.BatchNorm1d(dim, affine=config.affine),
        )
        narrow = max(dim // 4, 1)
        self.predictor = nn.Sequential(_hidden(dim, narrow), nn.Linear(narrow, dim))
        self.config, self.plan = config, plan

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) to a scalar from -1, where all agree, to 1."""
        parts = 2 * self.config.splits
        projections = in_parts(self.projector, self.backbone(views.flatten(0, 1)), parts)
        others = projections.view(2, -1, projections.shape[1]).flip(0).flatten(0, 1)
        return opposition(in_parts(self.predictor, projections, parts), others)

    def rates(self) -> dict[str, Rate]:
        """Keep the predictor's rate."""
        return {"predictor.": Rate(fixed=self.config.fixed_predictor)}

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return `projections` (m, dim) of all images, unit rows."""
        rows = embed(lambda x: self.projector(self.backbone(x)))
        return {"projections": F.normalize(rows, out=rows)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail: none.

        Raises UsageError where `splits` does not divide the batch into parts of two or more.
        """
        check_splits(self.plan.batch, self.config.splits)
        return []


def opposition(predicted: Tensor, projected: Tensor) -> Tensor:
    """Mean of -cos () between rows (n, d), of which `projected` get no gradient.

    Equations 1 and 2, both directions where the rows hold both. In float32 also under autocast.
    """
    unit = F.normalize(predicted.float()), F.normalize(projected.detach().float())
    return -(unit[0] * unit[1]).sum(1).mean()


def _hidden(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)
    )
