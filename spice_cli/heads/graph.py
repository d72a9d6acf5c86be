"""K-means of whitened features, each averaged with its neighbours': for features of other networks.

Neighbours mostly belong to one cluster, so their mean is nearer to its centre than they are: a
low-pass filter of the graph of nearest neighbours before k-means, as in Zhang et al., Attributed
Graph Clustering via Adaptive Graph Convolution, IJCAI 2019, https://arxiv.org/abs/1906.01210. Ours:
the graph is made from the features themselves, and these are whitened first (`ops.whitening`),
because features of a trained network share a large mean and vary along few directions.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.apply import Cosines
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.stretch import WHOLE, Stretch, rows_of
from spice_cli.ops.whitening import Whitening, whitening


class GraphConfig(Frozen):
    """Settings of `graph` alone."""

    whiten: Positive = 0.1
    """Shrinkage of the whitening; the smaller, the more directions count alike."""
    neighbors: Count = 10
    """Nearest neighbours with whose mean a row is averaged, the row not among them."""
    steps: Annotated[int, Field(ge=0)] = 2
    """How often rows are averaged with their neighbours'."""
    restarts: Count = 10
    iterations: Count = 300
    temperature: Positive = 0.1
    """Probabilities are the softmax of the cosines with the centres over this."""


class White(nn.Module):
    """What whitens, centres (k, d) among whitened rows, and the mean squared distance to one."""

    mean: Tensor
    matrix: Tensor
    centers: Tensor
    losses: Tensor

    def __init__(self, clusters: int, white: Whitening) -> None:
        super().__init__()
        width = len(white.mean)
        self.register_buffer("mean", white.mean)
        self.register_buffer("matrix", white.matrix)
        self.register_buffer("centers", white.mean.new_zeros(clusters, width))
        self.register_buffer("losses", white.mean.new_full((1,), torch.inf))


class OfWhite(nn.Module):
    """Probabilities of rows that are whitened first."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, state: Mapping[str, Tensor], temperature: float) -> None:
        super().__init__()
        self.register_buffer("mean", state["mean"].clone())
        self.register_buffer("matrix", state["matrix"].clone())
        self.cosines = Cosines(state["centers"], temperature)

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (b, d) to probabilities (b, k) float32."""
        found: Tensor = self.cosines((rows.float() - self.mean) @ self.matrix)
        return found


class GraphKMeans:
    """All restarts in one round."""

    Config = GraphConfig

    def __init__(
        self, source: Source, config: SelfLabel, own: GraphConfig, generator: torch.Generator
    ) -> None:
        self.source, self.own, self.stretch = source, own, source.stretch
        self.epochs, self.images = 1, len(source.embeddings)
        self.found = White(source.clusters, whitening(source.embeddings.float(), own.whiten))
        self.stretch.agree(self.found.mean, self.found.matrix)
        self.parts: Parts = {"heads": self.found}

    @staticmethod
    def wants(own: GraphConfig, facts: Facts) -> Wants:
        """Ask for the embeddings alone, and for fewer neighbours than there are images."""
        fitting = min(own.neighbors, facts.images - 1)
        update = own.model_copy(update={"neighbors": fitting})
        return Wants(update, {"heads": 1, "epochs": 1}, views=False, passes=True)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Find the centres."""
        own, rows, stretch = self.own, self.source.embeddings.float(), self.stretch
        white = F.normalize((rows - self.found.mean) @ self.found.matrix)
        near = nearest(white, own.neighbors + 1, rows=rows_of(stretch, white))[:, 1:]
        smooth = smoothed(white, near, own.steps, stretch)
        found = kmeans(
            smooth,
            self.source.clusters,
            generator=generator,
            restarts=own.restarts,
            iterations=own.iterations,
            stretch=stretch,
        )
        self.found.centers.copy_(found.centers)
        self.found.losses.fill_(found.inertia / len(rows))
        mine = white[stretch.of(len(white))]
        labels = stretch.whole((mine @ found.centers.T).argmax(1), len(white))
        advance(self.images)
        loss: dict[str, JsonValue] = {"loss": float(self.found.losses)}
        return loss | quality(labels[None], self.found.losses, self.source.clusters)

    def result(self) -> Result:
        """Return what the centres say of the rows as they are, as they would of new ones."""
        state = {name: value for name, value in self.found.named_buffers() if name != "losses"}
        everything, m = self.source.everything, len(self.source.everything)
        probs = OfWhite(state, self.own.temperature)(everything[self.stretch.of(m)])
        named = {f"heads.{name}": value for name, value in state.items()}
        return Result(self.stretch.whole(probs, m), self.found.losses, named)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: GraphConfig, dtype: torch.dtype
    ) -> OfWhite:
        """Return the centres and what whitens, which needs all of float32."""
        return OfWhite(state, own.temperature)


def smoothed(rows: Tensor, near: Tensor, steps: int, stretch: Stretch = WHOLE) -> Tensor:
    """Return unit rows (n, d), averaged `steps` times with the mean of their near ones.

    Those (m, q) are of the rows in this process's `stretch` alone.
    """
    out, own = rows, stretch.of(len(rows))
    for _ in range(steps):
        total = torch.zeros_like(out[own])
        for column in near.unbind(1):
            total += out[column]
        out = stretch.whole(F.normalize(out[own] + total / near.shape[1]), len(rows))
    return out
