"""SPICE-Self: heads trained on balanced pseudo-labels around prototypes.

https://arxiv.org/abs/2103.09382, section 3.2, equations 1 to 5 and Algorithm 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.config import SelfLabel
from spice_cli.heads.perceptrons import Heads
from spice_cli.ops.losses import SELF_LABEL_LOSSES, mean_entropy
from spice_cli.ops.pseudo_labels import prototype_labels

Walk = Callable[[Tensor, Tensor, Tensor], Tensor]
"""One pass: views (n, d), rows of each update (u, h, m), their labels (u, m); mean loss ()."""


class Spice:
    """The heads, their optimiser, and one labelled batch at a time.

    Products are taken in `dtype`, weights and all else are float32. `wrap` may make a pass faster:
    it always gets the same shapes and never waits for the device.
    """

    def __init__(
        self,
        features: int,
        clusters: int,
        config: SelfLabel,
        generator: torch.Generator,
        *,
        dtype: torch.dtype = torch.float32,
        wrap: Callable[[Walk], Walk] = lambda walk: walk,
    ) -> None:
        self.config = config
        self.heads = Heads(
            config.heads, features, config.hidden or features, clusters, generator, dtype
        )
        self.optimizer = torch.optim.Adam(
            self.heads.parameters(),
            lr=config.lr,
            fused=True,
            capturable=generator.device.type == "cuda",
        )
        self.loss = SELF_LABEL_LOSSES[config.loss]
        self.walk = wrap(self._walk)

    @torch.no_grad()
    def label(self, embeddings: Tensor, weak: Tensor) -> Tensor:
        """Return, for each head and cluster, the rows (h, k, n // k) that get its pseudo-label.

        Scores come from weak views (n, d), prototypes and similarities from the plain embeddings
        (n, d): steps 1 and 2 of Algorithm 1.
        """
        return self._labels(embeddings, self.heads(weak).softmax(-1))

    def train(self, strong: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Fit the heads to the labels (h, k, q) of strong views (n, d), step 3 of Algorithm 1.

        Every pass walks through all pairs in a new order, `batch_size` an update, and drops the
        rest. Returns the mean loss (), of the updates made.
        """
        _, clusters, quota = index.shape
        pairs = index.flatten(1).T.contiguous()
        label = torch.arange(clusters, device=index.device).repeat_interleave(quota)
        size = min(self.config.batch_size, len(label))
        inputs = self.heads.scaled(strong)
        losses = []
        for _ in range(self.config.passes or 1):
            order = torch.randperm(len(label), generator=generator, device=index.device)
            order = order[: len(label) // size * size].view(-1, size)
            losses.append(self.walk(inputs, pairs[order].transpose(1, 2), label[order]))
        return torch.stack(losses).mean()

    def _walk(self, inputs: Tensor, rows: Tensor, label: Tensor) -> Tensor:
        updates, heads, size = rows.shape
        losses = []
        for own, target in zip(rows.reshape(updates, -1), label, strict=True):
            logits = self.heads.logits(inputs.index_select(0, own).view(heads, size, -1))
            loss = self.loss(logits, target.expand(heads, -1), self.config.temperature).mean()
            if self.config.entropy:
                loss = loss - self.config.entropy * mean_entropy(logits.softmax(-1)).mean()
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    @torch.no_grad()
    def score(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return each head's loss (h,) on its own labels of the whole set, and its probs (h, n, k).

        No labels but the head's own are used, so the lowest loss picks head and epoch honestly.
        """
        logits = _in_blocks(self.heads, embeddings)
        probs = logits.softmax(-1)
        losses = []
        for own, shares in zip(logits, probs, strict=True):
            (index,) = self._labels(embeddings, shares[None])
            label = torch.arange(len(index), device=index.device).repeat_interleave(index.shape[1])
            loss = self.loss(own[index.flatten()], label, self.config.temperature).mean()
            if self.config.entropy:
                loss = loss - self.config.entropy * mean_entropy(shares)
            losses.append(loss)
        return torch.stack(losses), probs

    @torch.no_grad()
    def probs(self, heads: Heads, embeddings: Tensor) -> Tensor:
        """Return the probabilities (n, k) of the head with the lowest selection loss."""
        logits = _in_blocks(heads, embeddings)
        return logits[heads.losses.argmin()].softmax(-1)

    def _labels(self, embeddings: Tensor, probs: Tensor) -> Tensor:
        ratio, overlap = self.config.ratio, self.config.overlap
        return prototype_labels(embeddings, probs, ratio=ratio, overlap=overlap)


def _in_blocks(heads: Heads, features: Tensor) -> Tensor:
    """Logits (h, n, k), some rows at a time: hidden layers are (h, rows, hidden)."""
    return torch.cat([heads(rows) for rows in torch.split(features, 2048)], 1)
