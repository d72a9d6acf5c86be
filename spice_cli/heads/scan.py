"""SCAN: every image and its nearest neighbours belong to one cluster, and clusters are even.

Van Gansbeke et al., Learning to Classify Images without Labels, ECCV 2020,
https://arxiv.org/abs/2005.12320, sections 2.2 and 2.3. Ours differs: neighbours are those of the
embeddings (not of the contrastive head's output); an image and its neighbour pass through batch
norm together; epoch and head are chosen on the training images (not on test images, without their
labels, as there); frozen features are unit rows.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import UsageError
from spice_cli.heads.apply import Chosen, linear
from spice_cli.heads.quality import quality
from spice_cli.heads.scan_confident import ConfidentStep
from spice_cli.heads.scan_config import ScanConfig
from spice_cli.heads.scan_network import Network, linear_heads, make_optimizer, plain_logits
from spice_cli.heads.source import Advance, Facts, Parts, Result, Source, Wants
from spice_cli.ops.residence import take
from spice_cli.ops.scan import scan_loss, selection_loss

CHOSEN_BY = 5
"""Neighbours of an image, beside itself, that its cluster is compared with to choose an epoch."""


class Scan:
    """SCAN's epochs and then, if asked for, those of confident self-labelling."""

    Config = ScanConfig
    remedy: ClassVar[dict[str, JsonValue]] = {"entropy": 10}
    uneven: ClassVar[dict[str, JsonValue]] = {"entropy": 2}

    def __init__(
        self, source: Source, config: SelfLabel, own: ScanConfig, generator: torch.Generator
    ) -> None:
        n, features = source.embeddings.shape
        side = source.pixels.images.shape[-1] if source.pixels else None
        own = own.settled(n, source.clusters, side)
        self.source, self.own, self.pixels = source, own, source.pixels
        trained = source.pixels if own.backbone == "train" else None
        self.near = source.neighbors((own.neighbors or 1) + 1)
        self.chosen_by = source.neighbors(CHOSEN_BY + 1)
        backbone = trained.backbone() if trained else None
        width = backbone.features if backbone else features
        heads = linear_heads(width, config.heads, source.clusters, generator, source.dtype)
        self.network = source.deal.keep(Network(heads, backbone, source.dtype))
        self.optimizer = make_optimizer(
            self.network.parameters(),
            own.optimizer or "sgd",
            lr=config.lr,
            weight_decay=own.weight_decay or 0.0,
            momentum=own.momentum,
        )
        self.best = deepcopy(self.network)
        self.size = min(config.batch_size, n)
        self.first, self.images = config.epochs, n // self.size * self.size
        self.epochs = self.first
        self.parts: Parts = {
            "network": self.network,
            "optimizer": self.optimizer,
            "best": self.best,
        }
        self.second: ConfidentStep | None = None
        if own.self_label and source.pixels:
            self.second = ConfidentStep(source, source.pixels, own)
            self.epochs += own.confident.epochs
            self.parts = {**self.parts, **self.second.parts}

    @staticmethod
    def wants(own: ScanConfig, facts: Facts) -> Wants:
        """Settle what is trained; without images it can only be heads on frozen features."""
        own = own.settled(facts.images, facts.clusters, facts.side)
        train = own.backbone == "train"
        if facts.side is None and (train or own.self_label):
            what = "self_label=true" if own.self_label else "backbone=train"
            raise UsageError(
                f"`{what}` needs images and the backbone that embedded them",
                hint="--set self_label=false" if own.self_label else "--set backbone=frozen",
            )
        shared: dict[str, JsonValue] = {
            "heads": 10,
            "epochs": 50 if train else 100,
            "batch_size": 128 if train else 512,
            "lr": 1e-4 if train else 5.0 if own.optimizer == "sgd" else 0.01,
        }
        pixels = train or own.self_label
        return Wants(own, shared, views=not train, pixels=pixels, dealt=not pixels)

    def epoch(
        self, number: int, generator: torch.Generator, advance: Advance
    ) -> dict[str, JsonValue]:
        """Train on every image and one of its neighbours; keep the network at a new low."""
        if self.second and number > self.first:
            if number == self.first + 1:
                self.second.begin(self.best)
            return self.second.epoch(generator, advance)
        device, columns = self.near.device, self.near.shape[1]
        self.network.train()
        total = torch.zeros_like(self.network.losses)
        order = torch.randperm(len(self.near), generator=generator, device=device)
        batches = order[: self.images].view(-1, self.size)
        for rows in batches:
            column = torch.randint(columns, rows.shape, generator=generator, device=device)
            pairs = torch.cat([rows, self.near[rows, column]])
            one, other = self.network(self._strong(pairs, generator)).chunk(2, 1)
            losses = scan_loss(one, other, self.own.entropy)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(losses.sum())
            self.optimizer.step()
            total += losses.detach()
            advance(self.size)
        heads, found, clusters = range(len(self.network.losses)), [], []
        for logits in plain_logits(self.source, self.network, len(self.near), heads):
            found.append(selection_loss(logits, self.chosen_by))
            clusters.append(logits.argmax(1))
        own = torch.stack(found)
        whole = self.source.deal.whole
        losses, before = whole(own), whole(self.best.losses)
        if losses.min() < before.min():
            self.best.load_state_dict({**self.network.state_dict(), "losses": own})
        record = quality(whole(torch.stack(clusters)), losses, self.source.clusters)
        return {"loss": float(whole(total).mean() / len(batches)), **record}

    def result(self) -> Result:
        """Return what the best head says of all images, or after self-labelling the network."""
        best = self.source.deal.joined(self.best)
        weight = best.heads.weight.detach().permute(1, 2, 0)
        state = {"heads.weight": weight, "heads.bias": best.heads.bias.detach()}
        if self.second:
            probs, model = self.second.result()
        else:
            chosen = [int(best.losses.argmin())]
            (logits,) = plain_logits(self.source, best, len(self.source.everything), chosen)
            probs, model = logits.softmax(1), best.classifier()
        return Result(probs, best.losses, state | model)

    @staticmethod
    def classifier(
        state: Mapping[str, Tensor], losses: Tensor, own: ScanConfig, dtype: torch.dtype
    ) -> Chosen:
        """Return the best head, on frozen features."""
        return linear(state["weight"].permute(2, 0, 1), state["bias"], int(losses.argmin()), dtype)

    def _strong(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """One strong view of each row: pixels where the backbone is trained, else features."""
        if self.network.backbone is None or self.pixels is None:
            return self.source.strong(rows, generator)
        return self.pixels.strong(take(self.pixels.images, rows), generator)
