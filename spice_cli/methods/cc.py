"""Contrastive clustering: tell images apart by their projections, and clusters by their members.

https://arxiv.org/abs/2009.09687 (Li et al., AAAI 2021).
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.methods.plan import Embed, Plan, Rate
from spice_cli.methods.projector import projector
from spice_cli.methods.simclr import nt_xent
from spice_cli.models.backbone import Backbone
from spice_cli.models.split_batch_norm import split_batch_norm


class CC(nn.Module):
    """Two views of the same images in; instance loss, cluster loss and imbalance out.

    `backbone` is kept, with its batch norms split in place: each view passes them on its own. The
    cluster head's probabilities are left beside it.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining.

        The defaults are the reference's, which trains by Adam at .0003 without weight decay.
        """

        temperature: Positive = 0.5
        """Between images."""
        cluster_temperature: Positive = 1.0
        """Between clusters."""
        balance: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the clusters' imbalance."""
        constant: bool = True
        """Neither warm the learning rate up nor let it decay."""
        hidden: Count | None = None
        """Width of both heads' hidden layers; none is the width of the features."""
        dim: Count = 128
        """Width of the projections."""

    uses_clusters = True
    crops = 2
    """Views of each image."""

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        assert plan.clusters is not None
        features = backbone.features
        split_batch_norm(backbone, 2)
        self.backbone = backbone
        self.projector = projector(features, config.hidden, config.dim, batch_norm=False)
        self.clusterer = projector(features, config.hidden, plan.clusters, batch_norm=False)
        self.config = config

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) to a scalar."""
        features = self.backbone(views.flatten(0, 1))
        projections, logits = (
            head(features).unflatten(0, views.shape[:2])
            for head in (self.projector, self.clusterer)
        )
        probs = logits.float().softmax(-1)
        return (
            nt_xent(projections, self.config.temperature)
            + nt_xent(probs.mT, self.config.cluster_temperature)
            + self.config.balance * imbalance(probs)
        )

    def rates(self) -> dict[str, Rate]:
        """Keep every rate."""
        return {"": Rate(fixed=self.config.constant)}

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return `projections` (m, dim), unit rows, and `probs` (m, k) of all images."""

        def both(pixels: Tensor) -> Tensor:
            features = self.backbone(pixels)
            return torch.cat([self.projector(features), self.clusterer(features)], 1)

        projections, logits = embed(both).tensor_split([self.config.dim], 1)
        return {"projections": F.normalize(projections), "probs": logits.softmax(1)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail: none."""
        return []


def imbalance(probs: Tensor) -> Tensor:
    """Sum () over v views of ln(k) less the entropy of their mean probabilities (v, n, k).

    0 where all clusters are used alike, v ln(k) where one is used alone. Logarithms are taken of
    the least float32 at least, so that an empty cluster has a gradient.
    """
    share = probs.mean(1)
    entropy = -(share * share.clamp(min=torch.finfo(share.dtype).tiny).log()).sum(1)
    return (math.log(probs.shape[2]) - entropy).sum()
