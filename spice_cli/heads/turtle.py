"""TURTLE: the labelling that linear classifiers of one or more feature spaces agree on.

Gadetsky, Jiang, Brbic, Let Go of Your Labels with Unsupervised Transfer, ICML 2024,
https://arxiv.org/abs/2406.07236. Its text was not at hand, only the abstract and the command lines
of its readme. Certain: labels are the mean over spaces of softmaxed linear maps; the classifier of
each space is fitted to them by a few steps, and then the labels move, by the gradient at fixed
classifiers, towards what all of these predict, while the clusters' shares are kept even:

    min over t  sum over spaces of CE(w*(t); t) - gamma H(mean of t),  w*(t) = argmin CE(w; t).

As both cross-entropies are the same function, that gradient is exact where the classifiers are
optimal. gamma is 10; 6,000 updates of 10,000 images with Adam.

Our reading: ten inner steps, Adam for both with one rate, classifiers that start from nothing and
go on from where they were (`warm`) or start again at each update. Ours: spaces are centred and
scaled to rows of mean square 1, which linear maps with a bias could do themselves, so that rates
mean the same in every space; several restarts side by side, of which the lowest outer loss wins;
updates follow the number of images below 10,000 (see `TurtleConfig.updates`).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import MissingError
from spice_cli.heads.apply import Chosen, linear
from spice_cli.heads.labelling import (
    mean_and_size,
    outer_loss,
    residual,
    standardised,
    task_labels,
)
from spice_cli.heads.linear import LinearHeads, unit_weights
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.heads.turtle_config import TurtleConfig
from spice_cli.heads.turtle_parts import Scores, adam, forget, labels_of, logits_of
from spice_cli.ops.draw import draw


class Turtle:
    """Restarts (h of them) side by side: their labels and the classifiers of every space."""

    Config = TurtleConfig
    uneven: ClassVar[dict[str, JsonValue]] = {"gamma": 2}

    def __init__(
        self, source: Source, config: SelfLabel, own: TurtleConfig, generator: torch.Generator
    ) -> None:
        n, restarts, clusters = len(source.embeddings), config.heads, source.clusters
        self.own, self.clusters, self.deal = own, clusters, source.deal
        everything = (source.everything, *source.spaces)
        self.scales = [mean_and_size(x[:n]) for x in everything]
        self.spaces = [standardised(x, n) for x in everything]
        self.train = [x[:n] for x in self.spaces]
        self.size = min(config.batch_size, n)
        self.updates = own.updates_for(n)
        self.epochs, self.images = config.epochs, self.updates * self.size
        starts = [unit_weights(x.shape[1], restarts, clusters, generator) for x in self.spaces]
        none, keep = [torch.zeros_like(weight) for weight in starts], source.deal.keep
        self.task = [keep(LinearHeads(weight, source.dtype)) for weight in starts]
        self.classifiers = [keep(LinearHeads(weight, source.dtype)) for weight in none]
        self.scores = keep(Scores(torch.full((restarts,), torch.inf, device=generator.device)))
        self.outer = adam(self.task, config.lr)
        self.inner = adam(self.classifiers, own.inner_lr or config.lr)
        self.parts: Parts = {
            "task": nn.ModuleList(self.task),
            "classifiers": nn.ModuleList(self.classifiers),
            "scores": self.scores,
            "outer": self.outer,
            "inner": self.inner,
        }
        self.step = source.wrap(self._step)

    @staticmethod
    def wants(own: TurtleConfig, facts: Facts) -> Wants:
        """Fill in the updates an epoch; no views are needed."""
        update = {"updates": own.updates_for(facts.images)}
        shared = {"heads": 5, "batch_size": 10_000, "lr": 0.02}
        settled = own.model_copy(update=update)
        return Wants(settled, shared, views=False, spaces=True, dealt=True)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Update the labels `updates` times, each on images drawn anew if there are too many."""
        n, losses = len(self.train[0]), torch.zeros_like(self.scores.losses)
        for _ in range(self.updates):
            batch = self.train
            if self.size < n:
                rows = draw(n, self.size, generator)
                batch = [x[rows] for x in self.train]
            losses += self.step(*batch)
            advance(self.size)
        self.scores.losses.copy_(losses / self.updates)
        labels = torch.cat([each.argmax(-1) for each in labels_of(self.task, self.train)], 1)
        losses, labels = map(self.deal.whole, (self.scores.losses, labels))
        return {"loss": float(losses.mean()), **quality(labels, losses, self.clusters)}

    def result(self) -> Result:
        """Return the labels of all images under the restart of the lowest outer loss.

        The maps that are left are of unit rows: they centre and scale these themselves.
        """
        losses, task = self.deal.joined(self.scores).losses, [*map(self.deal.joined, self.task)]
        best = losses.argmin()
        probs = torch.cat([each[best].clone() for each in labels_of(task, self.spaces)])
        state = {}
        for number, (each, (mean, size)) in enumerate(zip(task, self.scales, strict=True)):
            weight = each.weight.detach() / size
            state[f"heads.{number}.weight"] = weight
            state[f"heads.{number}.bias"] = each.bias.detach() - torch.tensordot(mean, weight, 1)
        return Result(probs, losses, state)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: TurtleConfig, dtype: torch.dtype
    ) -> Chosen:
        """Return the best restart; where it looks at several spaces it is a MissingError."""
        if "1.weight" in state:
            raise MissingError(
                "the clusters of `turtle` look at several feature spaces, and the run has the "
                "network of one of them",
                hint="without `--space`: spice self-label --method turtle",
            )
        return linear(state["0.weight"], state["0.bias"], int(losses.argmin()), dtype)

    def _step(self, *spaces: Tensor) -> Tensor:
        """Fit the classifiers to the labels of rows (b, d_i), then move these; losses (h,)."""
        with torch.no_grad():
            labels = task_labels(logits_of(self.task, spaces))
            if not self.own.warm:
                forget(self.inner)
            for _ in range(self.own.inner):
                for classifier, rows in zip(self.classifiers, spaces, strict=True):
                    classifier.fit(rows, residual(classifier(rows), labels))
                self.inner.step()
            predicted = logits_of(self.classifiers, spaces)
        losses = outer_loss(task_labels(logits_of(self.task, spaces)), predicted, self.own.gamma)
        self.outer.zero_grad()
        torch.autograd.backward(losses.sum())
        self.outer.step()
        return losses.detach()
