"""TEMI: many heads that agree with their teachers on the clusters of neighbours.

Adaloglou, Michels, Kalisch, Kollmann, Exploring the Limits of Deep Image Clustering using
Pretrained Models, BMVC 2023, https://arxiv.org/abs/2303.17896. Its text was not at hand, only the
abstract and the command lines of its readme. Certain: the loss in `information.py` with beta .6, a
random one of 50 nearest neighbours as an image's partner, students that a moving average (.996)
follows, a running mean of the teacher's outputs, 16 to 50 heads of which the lowest loss is kept.

Our reading: one temperature for student and teacher; a running mean that keeps .9 of its past and
takes in a batch before the loss uses it; the last epoch's loss, of which all heads saw the same
pairs, as the one that picks; the teacher as what is kept. Ours, for sets of a few thousand images:
heads are unit vectors (like DINO's last layer) unless `hidden` is given, an epoch has at least 20
updates and a teacher remembers one epoch, small sets have fewer neighbours.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.apply import Chosen, cosines, perceptron
from spice_cli.heads.information import pair_weights, temi_loss
from spice_cli.heads.linear import UnitHeads, unit_weights
from spice_cli.heads.perceptrons import Heads
from spice_cli.heads.quality import quality
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.heads.temi_config import LEAST, TemiConfig
from spice_cli.heads.temi_couple import Couple


class Temi:
    """All heads, trained together on the same pairs of neighbours."""

    Config = TemiConfig
    uneven: ClassVar[dict[str, JsonValue]] = {"beta": 0.8}

    def __init__(
        self, source: Source, config: SelfLabel, own: TemiConfig, generator: torch.Generator
    ) -> None:
        n = len(source.embeddings)
        self.source, self.own, self.clusters = source, own, source.clusters
        self.near = source.neighbors(own.nearest(n, source.clusters) + 1)[:, 1:]
        self.size = min(config.batch_size, n)
        self.updates = max(LEAST, n // self.size)
        self.ema = own.remembers(self.updates)
        self.epochs, self.images = config.epochs, self.updates * self.size
        student, self.count = _student(source, config.heads, own, generator), config.heads
        self.heads = source.deal.keep(Couple(student, source, config.heads))
        self.optimizer = torch.optim.AdamW(
            self.heads.student.parameters(),
            lr=config.lr,
            weight_decay=own.weight_decay,
            fused=True,
            capturable=generator.device.type == "cuda",
        )
        self.parts: Parts = {"heads": self.heads, "optimizer": self.optimizer}
        self.teach, self.learn = source.wrap(self._teach), source.wrap(self._learn)
        self.step = self._together if source.deal.world > 1 else source.wrap(self._step)

    @staticmethod
    def wants(own: TemiConfig, facts: Facts) -> Wants:
        """Fill in the neighbours; no views are needed."""
        near = own.nearest(facts.images, facts.clusters)
        shared = {"heads": 50, "batch_size": 256, "lr": 0.002}
        return Wants(own.model_copy(update={"neighbors": near}), shared, views=False, dealt=True)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Pair images with random neighbours: every one once, or as often as `LEAST` needs."""
        x, near, n = self.source.embeddings, self.near, len(self.near)
        rounds = range(-(-self.images // n))
        order = [torch.randperm(n, generator=generator, device=x.device) for _ in rounds]
        batches = torch.cat(order)[: self.images].view(self.updates, self.size)
        draw = torch.randint(near.shape[1], batches.shape, generator=generator, device=x.device)
        losses = torch.zeros_like(self.heads.losses)
        for rows, others in zip(batches, near[batches, draw], strict=True):
            losses += self.step(x[rows], x[others])
            advance(self.size)
        self.heads.losses.copy_(losses / self.updates)
        labels = torch.cat([logits.argmax(-1) for logits in _logits(self.heads.teacher, x)], 1)
        every, labels = map(self.source.deal.whole, (self.heads.losses, labels))
        return {"loss": float(every.mean()), **quality(labels, every, self.clusters)}

    def result(self) -> Result:
        """Return what the teacher of the lowest loss says of all images."""
        heads = self.source.deal.joined(self.heads)
        best, everything = heads.losses.argmin(), self.source.everything
        logits = torch.cat([each[best].clone() for each in _logits(heads.teacher, everything)])
        probs = (logits / self.own.teacher_temperature).softmax(-1)
        state = {f"heads.{k}": v for k, v in heads.teacher.named_parameters()}
        return Result(probs, heads.losses, state)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: TemiConfig, dtype: torch.dtype
    ) -> Chosen:
        """Return the teacher of the lowest loss."""
        best, temperature = int(losses.argmin()), own.teacher_temperature
        if "weight1" in state:
            return perceptron(state, best, dtype, temperature)
        return cosines(state["weight"], best, dtype, temperature)

    def _step(self, rows: Tensor, others: Tensor) -> Tensor:
        """Take one step on pairs of rows (b, d); return each head's loss (h,)."""
        both = torch.cat((rows, others))
        return self._learn(both, self._teach(both))

    def _together(self, rows: Tensor, others: Tensor) -> Tensor:
        """Take the same step where others train more heads, and tell each other of the pairs."""
        both = torch.cat((rows, others))
        teacher = self.teach(both)
        return self.learn(both, teacher, pair_weights(teacher, self.source.deal.whole))

    @torch.no_grad()
    def _teach(self, both: Tensor) -> Tensor:
        """Return what the teachers say (2, h, b, k) of rows (2 b, d), and count their shares."""
        teacher = _log_probs(self.heads.teacher(both), self.own.teacher_temperature)
        self.heads.shares.lerp_(teacher.exp().mean((0, 2)), 1 - self.own.share_ema)
        return teacher

    def _learn(self, both: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
        heads, own = self.heads, self.own
        student = _log_probs(heads.student(both), own.temperature)
        losses = temi_loss(student, teacher, heads.shares.log(), own.beta, weights)
        self.optimizer.zero_grad()
        torch.autograd.backward(losses.sum() / self.count)
        self.optimizer.step()
        heads.follow(self.ema)
        return losses.detach()


def _student(source: Source, heads: int, own: TemiConfig, generator: torch.Generator) -> nn.Module:
    features, clusters = source.embeddings.shape[1], source.clusters
    if own.hidden:
        return Heads(heads, features, own.hidden, clusters, generator, source.dtype)
    return UnitHeads(unit_weights(features, heads, clusters, generator), source.dtype)


@torch.no_grad()
def _logits(heads: nn.Module, x: Tensor) -> Iterator[Tensor]:
    """Go through the logits (h, rows, k) of some rows at a time."""
    yield from (heads(rows) for rows in torch.split(x, 4096))


def _log_probs(logits: Tensor, temperature: float) -> Tensor:
    """Turn logits (h, 2 b, k), of b images and then their partners, into (2, h, b, k)."""
    return torch.stack((logits / temperature).log_softmax(-1).chunk(2, 1))
