"""SPICE-Self: heads trained on balanced pseudo-labels around prototypes.

https://arxiv.org/abs/2103.09382, section 3.2, equations 1 to 5 and Algorithm 1.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import UsageError
from spice_cli.heads.apply import Chosen, perceptron
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_rounds import Rounds
from spice_cli.heads.spice_sizes import starts as centers
from spice_cli.ops.draw import draw
from spice_cli.ops.whitening import whitening


class Spice:
    """Batches of M images are labelled and learnt in turn; the lowest loss picks head and epoch."""

    Config = SpiceConfig
    remedy: ClassVar[dict[str, JsonValue]] = {"entropy": 1}
    uneven: ClassVar[dict[str, JsonValue]] = {"balance": "none"}

    def __init__(
        self, source: Source, config: SelfLabel, own: SpiceConfig, generator: torch.Generator
    ) -> None:
        n, features = source.embeddings.shape
        self.source, self.deal = source, source.deal
        self.white = whitening(source.embeddings, own.whiten) if own.whiten else None
        self.features = self._read(source.embeddings)
        self.near = self.features if self.white is None else F.normalize(self.features)
        self.batch = own.together(source.clusters, n)
        self.rounds = Rounds(
            features,
            source.clusters,
            config,
            own,
            generator,
            dtype=source.dtype,
            deal=source.deal,
            wrap=source.wrap,
        )
        self.best = deepcopy(self.rounds.heads)
        self.epochs, self.heads = config.epochs, config.heads
        self.images = n // self.batch * self.batch
        self.parts: Parts = {
            "heads": self.rounds.heads,
            "optimizer": self.rounds.optimizer,
            "best": self.best,
            **({"sizes": self.rounds.sizes} if self.rounds.sizes else {}),
        }

    @staticmethod
    def wants(own: SpiceConfig, facts: Facts) -> Wants:
        """Settle M and the heads' width; fewer images than clusters are a `UsageError`."""
        batch = own.together(facts.clusters, facts.images)
        if batch < facts.clusters:
            raise UsageError(
                f"{facts.clusters} clusters are too many for {batch} images labelled together",
                hint="fewer `--clusters`",
            )
        settled = {"batch": batch, "hidden": own.hidden or facts.features}
        return Wants(own.model_copy(update=settled), dealt=True)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Label and learn batch by batch; keep the heads where their lowest loss is a new low."""
        heads, batches, starts = self.rounds.heads, self.images // self.batch, None
        if self.rounds.sizes is not None and number == 1:
            k, stretch = self.source.clusters, self.source.stretch
            drawn = centers(self.near, self.heads, k, generator, stretch)
            starts = self.deal.own(drawn)
        loss = torch.zeros_like(heads.losses)
        for _ in range(batches):
            rows = draw(len(self.near), self.batch, generator)
            weak, strong = map(self._read, self.source.views(rows, generator))
            index = self.rounds.label(self.near[rows], weak, starts)
            loss += self.rounds.train(strong, index, generator) / batches
            advance(self.batch)
        own, clusters = self.rounds.score(self.features, self.near)
        losses, before = map(self.deal.whole, (own, self.best.losses))
        if losses.min() < before.min():
            self.best.load_state_dict({**heads.state_dict(), "losses": own})
        record = quality(self.deal.whole(clusters), losses, self.source.clusters)
        return {"loss": float(self.deal.whole(loss).mean()), **record}

    @torch.no_grad()
    def result(self) -> Result:
        """Return the heads of the best epoch, and what the best of them says of all images."""
        best = self.deal.joined(deepcopy(self.best))
        if self.white is not None:
            best.fold(self.white.mean, self.white.matrix)
            best.dtype = torch.float32
        probs = best.alone(int(best.losses.argmin()), self.source.everything).softmax(-1)
        state = {f"heads.{name}": value for name, value in best.named_parameters()}
        return Result(probs, best.losses, state)

    def _read(self, rows: Tensor) -> Tensor:
        """Turn unit rows (n, d) into what the heads read while they learn."""
        return rows if self.white is None else self.white(rows)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: SpiceConfig, dtype: torch.dtype
    ) -> Chosen:
        """Return the best head; one that learnt from whitened rows needs all of float32."""
        return perceptron(state, int(losses.argmin()), torch.float32 if own.whiten else dtype)
