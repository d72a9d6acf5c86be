"""ProPos: views agree with a target network's, and prototypes of pseudo-labels lie apart.

https://arxiv.org/abs/2111.11821 (Huang et al., TPAMI 2022).
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive, Share
from spice_cli.methods.plan import Embed, Plan, Rate
from spice_cli.methods.projector import projector
from spice_cli.methods.scattering import prototype_scattering
from spice_cli.methods.splits import check_splits, in_parts
from spice_cli.methods.target import Target, disagreement, ema_for, predictor, width_for
from spice_cli.models.backbone import Backbone
from spice_cli.models.split_batch_norm import split_batch_norm
from spice_cli.ops.kmeans import kmeans

Weight = Annotated[float, Field(ge=0)]


class ProPos(nn.Module):
    """Two views in; positive sampling alignment and prototype scattering out.

    Before an epoch the target's projections of all images are clustered by spherical k-means, in
    the epoch the clusters are pseudo-labels. `backbone` is the online one; what the method is
    judged by are the target's projections. Batch norms are split in place, each view passes them
    on its own. Losses, loop and settings are those of the released code.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining.

        The defaults are the reference's for CIFAR-10. For CIFAR-100 in 20 and ImageNet-Dogs it has
        `version` 2, `ema_rises` and `resample`.
        """

        version: Literal[1, 2] = 1
        """The target moves after the loss (1) or before it (2, whose loss is shown 2 higher)."""
        scatter: Weight = 0.1
        """Weight of prototype scattering (lambda)."""
        noise: Weight = 0.001
        """Deviation of the noise on the projections that are aligned (sigma)."""
        temperature: Positive = 0.5
        """Of prototype scattering."""
        warm: Share = 0.05
        """Share of the epochs with `scatter` and `noise` off: the reference's 50 of 1000."""
        reassign: Count = 1
        """Epochs between two clusterings."""
        resample: bool = False
        """Draw images with replacement, from all clusters alike."""
        ema: Annotated[float, Field(ge=0, lt=1)] | None = None
        """Share of the target that a step keeps; none is .996, and less in short trainings."""
        ema_rises: bool = False
        """Let `ema` rise to 1 by half a cosine."""
        predictor_rate: Positive = 10.0
        """The predictor's multiple of the learning rate."""
        splits: Count = 1
        """Parts of a batch that batch norm treats on their own; 4 GPUs in the reference."""
        hidden: Count | None = None
        """Width of hidden layers; none is 8 times the width of the features, at most 4096."""
        dim: Count = 256
        """Width of the projections."""

    crops, uses_clusters = 2, True
    labels: Tensor
    scatter: Tensor
    noise: Tensor

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        assert plan.clusters is not None
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
        self.register_buffer("labels", torch.zeros(plan.images, dtype=torch.long))
        self.register_buffer("scatter", torch.zeros(()))
        self.register_buffer("noise", torch.zeros(()))
        self.clusters, self.warm = plan.clusters, round(config.warm * plan.epochs)
        self.config, self.plan = config, plan

    def begin(self, epoch: int, embed: Embed, generator: torch.Generator) -> None:
        """Cluster anew, if it is time to, and end the warm-up; `epoch` is counted from 1."""
        config, warming = self.config, epoch <= self.warm
        self.scatter.fill_(0.0 if warming else config.scatter)
        self.noise.fill_(0.0 if warming else config.noise)
        first = 1 if config.resample else self.warm + 1
        if epoch == first or (epoch > first and (epoch - 1) % config.reassign == 0):
            keys, stretch = embed(self.target), self.plan.stretch
            found = kmeans(keys, self.clusters, generator=generator, stretch=stretch)
            self.labels.copy_(found.labels)

    def weights(self) -> Tensor | None:
        """Return how often each image (n,) is to be drawn: in inverse ratio to its cluster."""
        sizes = torch.bincount(self.labels, minlength=self.clusters)
        return 1 / sizes[self.labels] if self.config.resample else None

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) of images at `rows` (n,) to a scalar, the mean of both ways.

        In training the target moves on. `generator`, on the device of the views, draws the noise.
        """
        config = self.config
        if self.training and config.version == 2:
            self.target.follow(self.backbone, self.projector)
        parts, labels = 2 * config.splits, self.labels[rows]
        targets = self.target.both(views.flip(0), config.splits, generator)
        z = in_parts(self.projector, self.backbone(views.flatten(0, 1)), parts).float()
        noise = self.noise * torch.randn(z.shape, generator=generator, device=z.device)
        aligned = disagreement(in_parts(self.predictor, z + noise, parts), targets)
        scattered = [
            prototype_scattering(own, other, labels, self.clusters, config.temperature)
            for own, other in zip(F.normalize(z).chunk(2), targets.chunk(2), strict=True)
        ]
        if self.training and config.version == 1:
            self.target.follow(self.backbone, self.projector)
        loss = aligned + self.scatter * torch.stack(scattered).mean()
        return loss - 2 if config.version == 1 else loss

    def rates(self) -> dict[str, Rate]:
        """Let the predictor learn faster."""
        return {"predictor.": Rate(factor=self.config.predictor_rate)}

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return the target's projections of all images (m, p): what is clustered of ProPos."""
        return {"projections": embed(self.target)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail, a sentence each.

        Raises UsageError where `splits` does not divide the batch into parts of two or more.
        """
        check_splits(self.plan.batch, self.config.splits)
        fault = (
            f"a batch of {self.plan.batch} images leaves out many of {self.clusters} clusters, "
            "and only the prototypes of those in it are driven apart"
        )
        return [fault] if self.plan.batch < self.clusters else []
