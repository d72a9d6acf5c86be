"""BYOL: foretell what a trailing copy of the network makes of the other view of an image.

https://arxiv.org/abs/2006.07733, at the settings of ProPos, whose baseline it is.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.methods.plan import Embed, Plan, Rate
from spice_cli.methods.projector import projector
from spice_cli.methods.splits import check_splits, in_parts
from spice_cli.methods.target import Target, disagreement, ema_for, predictor, width_for
from spice_cli.models.backbone import Backbone
from spice_cli.models.split_batch_norm import split_batch_norm


class BYOL(nn.Module):
    """Two views of the same images in, 2 - 2 cos out (equation 2), the mean of both directions.

    `backbone`, the online one, is what is kept, with its batch norms split in place; what ProPos
    clusters are the target's projections. Each view passes batch norms on its own.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining.

        The defaults are those of ProPos' baseline. It trains on four GPUs, which are 4 splits.
        """

        ema: Annotated[float, Field(ge=0, lt=1)] | None = None
        """Share of the target that a step keeps; none is .996, and less in short trainings."""
        ema_rises: bool = True
        """Let `ema` rise to 1 by half a cosine."""
        predictor_rate: Positive = 10.0
        """The predictor's multiple of the learning rate."""
        splits: Count = 1
        """Parts of a batch that batch norm treats on their own; 1 is plain batch norm."""
        hidden: Count | None = None
        """Width of hidden layers; none is 8 times the width of the features, at most 4096."""
        dim: Count = 256
        """Width of the projections."""

    crops = 2
    """Views of each image."""

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        hidden = config.hidden or width_for(backbone.features)
        steps = plan.epochs * plan.steps
        split_batch_norm(backbone, 2 * config.splits)
        self.backbone = backbone
        self.projector = projector(backbone.features, hidden, config.dim, batch_norm=True)
        self.predictor = predictor(config.dim, hidden)
        self.target = Target(
            backbone,
            self.projector,
            ema=ema_for(steps) if config.ema is None else config.ema,
            steps=steps if config.ema_rises else None,
        )
        self.config, self.plan = config, plan

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) to a scalar; in training the target moves on before.

        `generator`, on the device of the views, shuffles the target's batch before it is split.
        """
        if self.training:
            self.target.follow(self.backbone, self.projector)
        parts = 2 * self.config.splits
        targets = self.target.both(views.flip(0), self.config.splits, generator)
        projections = in_parts(self.projector, self.backbone(views.flatten(0, 1)), parts)
        return disagreement(in_parts(self.predictor, projections, parts), targets)

    def rates(self) -> dict[str, Rate]:
        """Let the predictor learn faster."""
        return {"predictor.": Rate(factor=self.config.predictor_rate)}

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return the target's `projections` (m, dim) of all images, unit rows."""
        return {"projections": embed(self.target)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail: none.

        Raises UsageError where `splits` does not divide the batch into parts of two or more.
        """
        check_splits(self.plan.batch, self.config.splits)
        return []
