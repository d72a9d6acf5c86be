"""SPICE-Self's three steps on one batch: label, train, and what to choose heads by.

https://arxiv.org/abs/2103.09382, section 3.2, equations 1 to 5 and Algorithm 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.deal import ALL, Deal
from spice_cli.heads.perceptrons import BLOCK, Heads
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.spice_sizes import Sizes, by_cluster, labels_by, shares_of
from spice_cli.ops.losses import SELF_LABEL_LOSSES, mean_entropy
from spice_cli.ops.pseudo_labels import prototype_labels
from spice_cli.ops.sized_labels import Labelled

Labels = Tensor | Labelled
"""Rows (h, k, q) for equal quotas, or rows with their labels."""
Walk = Callable[..., Tensor]
"""One pass: views (n, d), rows of each update (u, h, m), their labels (u, h or 1, m); loss (h,)."""


class Rounds:
    """The heads, their optimiser, and one labelled batch at a time.

    The h heads below are those that `deal` leaves to this process.

    Products are taken in `dtype`, weights and all else are float32. `wrap` may make a pass faster:
    it always gets the same shapes and never waits for the device.
    """

    def __init__(
        self,
        features: int,
        clusters: int,
        config: SelfLabel,
        own: SpiceConfig,
        generator: torch.Generator,
        *,
        dtype: torch.dtype = torch.float32,
        deal: Deal = ALL,
        wrap: Callable[[Walk], Walk] = lambda walk: walk,
    ) -> None:
        self.config, self.own = config, own
        hidden = own.hidden or features
        drawn = Heads(config.heads, features, hidden, clusters, generator, dtype)
        self.heads = deal.keep(drawn)
        self.optimizer = torch.optim.Adam(
            self.heads.parameters(),
            lr=config.lr,
            fused=True,
            capturable=generator.device.type == "cuda",
        )
        self.sizes = None
        if own.balance == "none":
            self.sizes = Sizes(len(self.heads.losses), clusters, generator.device)
        self.loss = SELF_LABEL_LOSSES[own.loss]
        self.walk = wrap(self._walk)

    @torch.no_grad()
    def label(self, embeddings: Tensor, weak: Tensor, starts: Tensor | None = None) -> Labels:
        """Return, for each head and cluster, the rows (h, k, n // k) that get its pseudo-label.

        Scores come from weak views (n, d), prototypes and similarities from the plain embeddings
        (n, d): steps 1 and 2 of Algorithm 1. With `balance="none"` they are as many rows, but each
        cluster has as many as the head has lately put into it, or before it has learnt anything,
        as are nearest to each of its `starts` (h, k, d).
        """
        probs = self.heads(weak).softmax(-1)
        if self.sizes is None:
            return self._labels(embeddings, probs)
        if starts is not None:
            probs = (embeddings @ starts.mT).softmax(-1)
            self.sizes.begin(probs)
        self.sizes.follow(probs)
        return self.sizes.labels(embeddings, probs, ratio=self.own.ratio)

    def train(self, strong: Tensor, index: Labels, generator: torch.Generator) -> Tensor:
        """Fit the heads to the labels (h, k, q) of strong views (n, d), step 3 of Algorithm 1.

        Every pass walks through all pairs in a new order, `batch_size` an update, and drops the
        rest. Returns each head's mean loss (h,) of the updates made.
        """
        rows, label = index if isinstance(index, Labelled) else _spread(index)
        pairs, labels = rows.T.contiguous(), label.T.contiguous()
        size = min(self.config.batch_size, len(pairs))
        inputs = self.heads.scaled(strong)
        losses = []
        for _ in range(self.own.passes or 1):
            order = torch.randperm(len(pairs), generator=generator, device=rows.device)
            order = order[: len(pairs) // size * size].view(-1, size)
            chosen = (each[order].transpose(1, 2) for each in (pairs, labels))
            losses.append(self.walk(inputs, *chosen))
        return torch.stack(losses).mean(0)

    def _walk(self, inputs: Tensor, rows: Tensor, label: Tensor) -> Tensor:
        updates, heads, size = rows.shape
        losses = []
        for own, target in zip(rows.reshape(updates, -1), label, strict=True):
            logits = self.heads.logits(inputs.index_select(0, own).view(heads, size, -1))
            loss = self.loss(logits, target.expand(heads, -1), self.own.temperature).mean(1)
            if self.own.entropy:
                loss = loss - self.own.entropy * mean_entropy(logits.softmax(-1))
            self.optimizer.zero_grad()
            torch.autograd.backward(loss.sum() / self.config.heads)
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean(0)

    @torch.no_grad()
    def score(self, features: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return each head's loss (h,) on its own labels of the whole set, and clusters (h, n).

        Heads read `features` (n, d), nearness is that of `embeddings` (n, d). No labels but the
        head's own are used, so the lowest loss picks head and epoch honestly. One head's (n, k)
        are held at a time.
        """
        losses, clusters = [], []
        for head in range(len(self.heads.losses)):
            logits = self.heads.alone(head, features)
            probs = logits.softmax(-1)
            rows, label = self._own_labels(embeddings, probs[None])
            found = self._losses(logits, rows[0], label[0])
            loss = found.mean() if self.sizes is None else by_cluster(found, label[0], probs)
            if self.own.entropy:
                loss = loss - self.own.entropy * mean_entropy(probs)
            losses.append(loss)
            clusters.append(probs.argmax(1))
        return torch.stack(losses), torch.stack(clusters)

    def _losses(self, logits: Tensor, rows: Tensor, label: Tensor) -> Tensor:
        """Return the losses (m,) of logits (n, k) at rows (m,) of labels (m,)."""
        blocks = zip(torch.split(rows, BLOCK), torch.split(label, BLOCK), strict=True)
        return torch.cat([self.loss(logits[r], each, self.own.temperature) for r, each in blocks])

    def _own_labels(self, embeddings: Tensor, probs: Tensor) -> Labelled:
        """Labels of one head, whose clusters have the sizes that it gives them now."""
        if self.sizes is None:
            return _spread(self._labels(embeddings, probs))
        return labels_by(shares_of(probs), embeddings, probs, self.own.ratio)

    def _labels(self, embeddings: Tensor, probs: Tensor) -> Tensor:
        ratio, overlap = self.own.ratio, self.own.overlap
        return prototype_labels(embeddings, probs, ratio=ratio, overlap=overlap)


def _spread(index: Tensor) -> Labelled:
    """Spell out the labels of rows (h, k, q): those of place c are c."""
    _, clusters, quota = index.shape
    label = torch.arange(clusters, device=index.device).repeat_interleave(quota)
    return Labelled(index.flatten(1), label[None])
