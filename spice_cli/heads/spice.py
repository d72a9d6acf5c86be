"""SPICE-Self: heads trained on balanced pseudo-labels around prototypes.

https://arxiv.org/abs/2103.09382, section 3.2, equations 1 to 5 and Algorithm 1.
"""

import math

import torch
from torch import Tensor, nn

from spice_cli.config import SelfLabel
from spice_cli.ops.losses import SELF_LABEL_LOSSES, mean_entropy
from spice_cli.ops.pseudo_labels import prototype_labels


class Heads(nn.Module):
    """Independent two-layer perceptrons on the same features, run as batched matrix products.

    Features come as unit rows; they are scaled by the root of their width so that a component is
    about one, whatever backbone they come from. `losses` (h,) are the selection losses of these
    weights, infinite before any were taken.
    """

    def __init__(
        self, heads: int, features: int, hidden: int, clusters: int, generator: torch.Generator
    ) -> None:
        super().__init__()

        def uniform(*shape: int, fan_in: int) -> nn.Parameter:
            bound = 1 / math.sqrt(fan_in)
            values = torch.rand(shape, generator=generator, device=generator.device)
            return nn.Parameter((2 * values - 1) * bound)

        self.weight1 = uniform(heads, features, hidden, fan_in=features)
        self.bias1 = uniform(heads, 1, hidden, fan_in=features)
        self.weight2 = uniform(heads, hidden, clusters, fan_in=hidden)
        self.bias2 = uniform(heads, 1, clusters, fan_in=hidden)
        self.scale = math.sqrt(features)
        self.losses: Tensor
        self.register_buffer("losses", torch.full((heads,), torch.inf, device=generator.device))

    def forward(self, features: Tensor) -> Tensor:
        """Map unit rows (n, d), or (h, n, d) for each head its own, to logits (h, n, k)."""
        hidden = torch.relu((features * self.scale) @ self.weight1 + self.bias1)
        return hidden @ self.weight2 + self.bias2


class Spice:
    """The heads, their optimiser, and one labelled batch at a time."""

    def __init__(
        self, features: int, clusters: int, config: SelfLabel, generator: torch.Generator
    ) -> None:
        self.config = config
        self.heads = Heads(
            config.heads, features, config.hidden or features, clusters, generator
        ).to(generator.device)
        self.optimizer = torch.optim.Adam(self.heads.parameters(), lr=config.lr, fused=True)
        self.loss = SELF_LABEL_LOSSES[config.loss]

    @torch.no_grad()
    def label(self, embeddings: Tensor, weak: Tensor) -> Tensor:
        """Return, for each head and cluster, the rows (h, k, n // k) that get its pseudo-label.

        Scores come from weak views (n, d), prototypes and similarities from the plain embeddings
        (n, d): steps 1 and 2 of Algorithm 1.
        """
        probs = self.heads(weak).softmax(-1)
        return self._labels(embeddings, probs)

    def train(self, strong: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
        """Fit the heads to the labels (h, k, q) of strong views (n, d), step 3 of Algorithm 1.

        Every pass walks through all pairs in a new order, `batch_size` an update, and drops the
        rest. Returns the mean loss (), of the updates made.
        """
        heads, clusters, quota = index.shape
        pairs = index.reshape(heads, clusters * quota)
        label = torch.arange(clusters, device=index.device).repeat_interleave(quota)
        size = min(self.config.batch_size, len(label))
        losses = []
        for _ in range(self.config.passes or 1):
            order = torch.randperm(len(label), generator=generator, device=index.device)
            for part in order[: len(order) // size * size].view(-1, size):
                logits = self.heads(strong[pairs[:, part]])
                loss = self.loss(logits, label[part].expand(heads, -1), self.config.temperature)
                loss = loss.mean(-1)
                if self.config.entropy:
                    loss = loss - self.config.entropy * mean_entropy(logits.softmax(-1))
                self.optimizer.zero_grad()
                torch.autograd.backward(loss.mean())
                self.optimizer.step()
                losses.append(loss.detach().mean())
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
    return torch.cat([heads(rows) for rows in torch.split(features, 8192)], 1)
