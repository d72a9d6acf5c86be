"""PCL: MoCo that also tells an image's cluster from other clusters, at several granularities.

https://arxiv.org/abs/2005.04966 (Li et al., ICLR 2021), with the settings of ProPos' code, in which
it is a baseline.
"""

from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Positive, Share
from spice_cli.errors import UsageError
from spice_cli.methods.moco import MoCo
from spice_cli.methods.plan import Embed, Plan
from spice_cli.methods.prototypes import concentrations, drawn, granularities, prototype_nce
from spice_cli.methods.target import ema_for
from spice_cli.models.backbone import Backbone
from spice_cli.ops.kmeans import kmeans

ITERATIONS = 20
"""Of k-means, from one start, as in PCL's own code: hundreds of prototypes need no more."""


class PCL(nn.Module):
    """Two views in, InfoNCE and prototype NCE out.

    Before an epoch the keys of all images are clustered once for each granularity. `backbone` is
    MoCo's query encoder. Certain, from the description of the reference: both terms, the rule for
    the concentrations, that negatives are drawn with replacement from the prototypes of no image
    in the batch, the settings. Our reading: clusters are spherical, distances Euclidean; where
    `symmetric`, prototype NCE is the mean over the queries of both views.
    """

    class Config(MoCo.Config):
        """What a person can set beside the settings of every pretraining, MoCo's among them."""

        temperature: Positive = 0.2
        """Of InfoNCE, and the mean concentration."""
        queue: Count | None = None  # type: ignore[assignment]
        """None: 4096, or a quarter of the images where that is less."""
        ema: Annotated[float, Field(ge=0, lt=1)] | None = None  # type: ignore[assignment]
        """None: .99, and less in short trainings."""
        symmetric: bool = True
        prototypes: tuple[Annotated[int, Field(ge=2)], ...] | None = None
        """How many at each granularity; none: one for 200 images or as many as a batch has images,
        what is more, twice and four times as many, and at most one for 4 images.
        """
        weight: Annotated[float, Field(ge=0)] = 0.01
        """Weight of prototype NCE, a mean over the granularities."""
        draws: Count | None = None
        """Prototypes drawn as negatives; none: as many as the queue has keys."""
        warm: Share = 0.05
        """Share of the epochs before prototype NCE sets in: the reference's 50 of 1000."""
        reassign: Count = 1
        """Epochs between two clusterings."""

    crops = MoCo.crops
    labels: Tensor
    centers: Tensor
    phi: Tensor
    weight: Tensor

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        moco = {
            "queue": config.queue or min(4096, max(1, plan.images // 4)),
            "ema": min(0.99, ema_for(plan.epochs * plan.steps))
            if config.ema is None
            else config.ema,
        }
        self.moco = MoCo(backbone, config.model_copy(update=moco), plan)
        self.sizes = config.prototypes or granularities(plan.images, plan.batch)
        total = sum(self.sizes)
        self.register_buffer("labels", torch.zeros(len(self.sizes), plan.images, dtype=torch.long))
        self.register_buffer("centers", torch.zeros(total, config.dim))
        self.register_buffer("phi", torch.full((total,), config.temperature))
        self.register_buffer("weight", torch.zeros(()))
        self.warm = round(config.warm * plan.epochs)
        self.config, self.plan = config, plan

    @property
    def backbone(self) -> Backbone:
        """The query encoder."""
        return self.moco.backbone

    def begin(self, epoch: int, embed: Embed, generator: torch.Generator) -> None:
        """Cluster anew, if it is time to, and end the warm-up; `epoch` is counted from 1."""
        first = self.warm + 1
        if epoch >= first:
            self.weight.fill_(self.config.weight)
        if epoch == first or (epoch > first and (epoch - 1) % self.config.reassign == 0):
            keys = self.moco.leaves(embed)["projections"]
            clustered = partial(
                kmeans, restarts=1, iterations=ITERATIONS, stretch=self.plan.stretch
            )
            found = [clustered(keys, size, generator=generator) for size in self.sizes]
            spreads = [
                concentrations(
                    (keys - each.centers[each.labels]).norm(dim=1),
                    each.labels,
                    self.config.temperature,
                    len(each.centers),
                )
                for each in found
            ]
            self.labels.copy_(torch.stack([each.labels for each in found]))
            self.centers.copy_(torch.cat([each.centers for each in found]))
            self.phi.copy_(torch.cat(spreads))

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) of the images at `rows` (n,) to a scalar.

        In training MoCo moves on. `generator`, on the device of the views, also draws negatives.
        """
        loss, queries = self.moco.contrast(views, generator)
        draws = self.config.draws or len(self.moco.queue)
        terms = []
        for labels, centers, phi in zip(
            self.labels[:, rows],
            torch.split(self.centers, [*self.sizes]),
            torch.split(self.phi, [*self.sizes]),
            strict=True,
        ):
            times = drawn(labels, len(centers), draws, generator)
            own = labels.repeat(len(queries) // len(labels))
            terms.append(prototype_nce(queries, own, centers, phi, times))
        return loss + self.weight * torch.stack(terms).mean()

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return the keys of all images, `projections` (m, dim): what is clustered of PCL."""
        return self.moco.leaves(embed)

    def faults(self) -> list[str]:
        """Name settings that are known to fail, a sentence each, MoCo's too.

        Raises UsageError where there are not fewer prototypes than images.
        """
        most, images = max(self.sizes), self.plan.images
        if most >= images:
            raise UsageError(
                f"{most} prototypes are not fewer than the {images} images",
                hint=f"--set prototypes=[{max(2, images // 4)}]",
            )
        return self.moco.faults()
