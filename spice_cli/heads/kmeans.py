"""Spherical k-means, the baseline of every other head, or the clusters that pretraining made.

ProPos, PCL and BYOL are published with k-means on their features or projections, CC with the
cluster head it trains: https://arxiv.org/abs/2111.11821, https://arxiv.org/abs/2009.09687.
"""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import MissingError, UsageError
from spice_cli.heads.apply import Cosines
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.ops.kmeans import kmeans


class KMeansConfig(Frozen):
    """Settings of k-means alone."""

    features: Literal["embeddings", "projections", "head"] = "embeddings"
    """What is clustered: the embeddings, the projections that `pretrain` left, or nothing: `head`
    takes the probabilities of the cluster head that `pretrain` trained."""
    restarts: Count = 10
    iterations: Count = 300
    temperature: Positive = 0.1
    """Probabilities are the softmax of the cosines with the centres over this. They order images
    and clusters as the cosines do; how sure they look is this number's doing."""


class Centers(nn.Module):
    """Centres (1, k, d) of unit length, and the mean squared distance to the nearest, losses (1,).

    For `head`, centres are those of its clusters, and the loss is one minus its mean confidence.
    """

    centers: Tensor
    losses: Tensor

    def __init__(self, clusters: int, features: Tensor) -> None:
        super().__init__()
        shape = (1, clusters, features.shape[1])
        self.register_buffer("centers", torch.zeros(shape, device=features.device))
        self.register_buffer("losses", torch.full((1,), torch.inf, device=features.device))


class SphericalKMeans:
    """All restarts in one round."""

    Config = KMeansConfig

    def __init__(
        self, source: Source, config: SelfLabel, own: KMeansConfig, generator: torch.Generator
    ) -> None:
        self.own, self.clusters, self.train = own, source.clusters, len(source.embeddings)
        ours = own.features != "projections"
        self.features = source.everything if ours else source.left["projections"]
        self.given = source.left["probs"] if own.features == "head" else None
        self.epochs, self.images, self.stretch = 1, self.train, source.stretch
        self.found = Centers(source.clusters, self.features)
        self.parts: Parts = {"heads": self.found}

    @staticmethod
    def wants(own: KMeansConfig, facts: Facts) -> Wants:
        """Ask for what `pretrain` left; that it left nothing is a `MissingError`."""
        name = {"projections": "projections", "head": "probs"}.get(own.features)
        if name is not None and name not in facts.left:
            raise MissingError(
                f"`pretrain` left no `{name}` to take clusters from",
                hint="--set features=embeddings",
            )
        if name == "probs" and (found := facts.left[name][1]) != facts.clusters:
            raise UsageError(
                f"the cluster head of `pretrain` knows {found} clusters, not {facts.clusters}",
                hint=f"--clusters {found}",
            )
        shared: dict[str, JsonValue] = {"heads": 1, "epochs": 1}
        return Wants(own, shared, views=False, left=name is not None, passes=name != "probs")

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Find the centres."""
        rows = self.features[: self.train]
        if self.given is None:
            found = kmeans(
                rows,
                self.clusters,
                generator=generator,
                restarts=self.own.restarts,
                iterations=self.own.iterations,
                stretch=self.stretch,
            )
            labels, centers = found.labels, found.centers
            self.found.losses.fill_(found.inertia / len(rows))
        else:
            sure, labels = self.given[: self.train].max(1)
            centers = F.normalize(
                torch.zeros_like(self.found.centers[0]).index_add_(0, labels, rows)
            )
            self.found.losses.copy_(1 - sure.mean())
        self.found.centers.copy_(centers)
        advance(self.images)
        loss: dict[str, JsonValue] = {"loss": float(self.found.losses)}
        return loss | quality(labels[None], self.found.losses, self.clusters)

    def result(self) -> Result:
        """Return the softmax of the cosines over the temperature, or what the head says."""
        centers = self.found.centers
        if self.given is None:
            m = len(self.features)
            cosines = F.normalize(self.features[self.stretch.of(m)]) @ centers[0].T
            probs = self.stretch.whole((cosines / self.own.temperature).softmax(1), m)
        else:
            probs = self.given
        return Result(probs, self.found.losses, {"heads.centers": centers})

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: KMeansConfig, dtype: torch.dtype
    ) -> Cosines:
        """Return the centres; without what made `projections` or the head it is a MissingError."""
        if own.features != "embeddings":
            raise MissingError(
                f"`kmeans` took its clusters from the {own.features} of `pretrain`, and the layers "
                "that make these are not stored",
                hint="spice self-label --method kmeans --set features=embeddings",
            )
        return Cosines(state["centers"][0], own.temperature)
