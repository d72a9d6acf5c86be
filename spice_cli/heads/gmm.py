"""A diagonal Gaussian mixture of the embeddings, a baseline beside k-means."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, JsonValue
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.apply import Gaussians
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.ops.gmm import Mixture, fit, log_responsibilities
from spice_cli.ops.kmeans import kmeans


class MixtureConfig(Frozen):
    """Settings of the mixture alone."""

    restarts: Count = 5
    """Fits from k-means clusters of different seeds; the highest likelihood is kept."""
    iterations: Count = 100
    tolerance: Annotated[float, Field(ge=0)] = 1e-3
    """Change of the mean log-likelihood of an image at which a fit ends."""
    regularisation: Positive = 1e-6
    """Added to every variance."""


class Components(nn.Module):
    """The best mixture so far, and minus the mean log-likelihood of every restart, losses (r,)."""

    weights: Tensor
    means: Tensor
    variances: Tensor
    losses: Tensor

    def __init__(self, clusters: int, features: Tensor, restarts: int) -> None:
        super().__init__()
        zeros = features.new_zeros((clusters, features.shape[1]), dtype=torch.float64)
        self.register_buffer("weights", zeros[:, 0].clone())
        self.register_buffer("means", zeros)
        self.register_buffer("variances", zeros.clone())
        self.register_buffer("losses", torch.full((restarts,), torch.inf, device=features.device))


class GaussianMixture:
    """One restart a round."""

    Config = MixtureConfig

    def __init__(
        self, source: Source, config: SelfLabel, own: MixtureConfig, generator: torch.Generator
    ) -> None:
        self.source, self.own, self.stretch = source, own, source.stretch
        self.epochs, self.images = own.restarts, len(source.embeddings)
        self.best = Components(source.clusters, source.embeddings, own.restarts)
        self.parts: Parts = {"heads": self.best}

    @staticmethod
    def wants(own: MixtureConfig, facts: Facts) -> Wants:
        """Ask for the embeddings alone."""
        return Wants(own, {"heads": 1, "epochs": own.restarts}, views=False, passes=True)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Fit from new k-means clusters; keep the mixture if it is the likeliest so far."""
        rows, clusters, own = self.source.embeddings, self.source.clusters, self.own
        first = kmeans(
            rows, clusters, generator=generator, spherical=False, restarts=1, stretch=self.stretch
        )
        mixture = fit(
            rows,
            first.labels,
            clusters,
            iterations=own.iterations,
            tolerance=own.tolerance,
            regularisation=own.regularisation,
            stretch=self.stretch,
        )
        logs, likelihood = log_responsibilities(rows, mixture, self.stretch)
        labels = self.stretch.whole(logs.argmax(1), self.images)
        loss = -likelihood.float()
        if loss < self.best.losses.min():
            self.best.load_state_dict({**vars(mixture), "losses": self.best.losses})
        self.best.losses[number - 1] = loss
        advance(self.images)
        return {"loss": float(loss), **quality(labels[None], loss[None], clusters)}

    def result(self) -> Result:
        """Return the responsibilities of the likeliest mixture for every image."""
        best, everything = self.best, self.source.everything
        mixture = Mixture(best.weights, best.means, best.variances)
        logs, _ = log_responsibilities(everything, mixture, self.stretch)
        probs = self.stretch.whole(logs.exp(), len(everything))
        state = {f"heads.{name}": value for name, value in vars(mixture).items()}
        return Result(probs, best.losses, state)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: MixtureConfig, dtype: torch.dtype
    ) -> Gaussians:
        """Return the likeliest mixture."""
        return Gaussians(state)
