"""Independent perceptrons on the same features, as batched matrix products."""

import math

import torch
from torch import Tensor, nn

from spice_cli.heads.linear import EVERY

BLOCK = 2**14
"""Rows at a time, where only their logits stay."""


class Heads(nn.Module):
    """Independent two-layer perceptrons on the same features, run as batched matrix products.

    Features come as unit rows; they are scaled by the root of their width so that a component is
    about one, whatever backbone they come from. Weights are float32, products and what lies
    between them in `dtype`. `losses` (h,) are the selection losses of these weights, infinite
    before any were taken.
    """

    def __init__(
        self,
        heads: int,
        features: int,
        hidden: int,
        clusters: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
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
        self.dtype = dtype
        self.losses: Tensor
        self.register_buffer("losses", torch.full((heads,), torch.inf, device=generator.device))

    def forward(self, features: Tensor) -> Tensor:
        """Map unit rows (n, d), or (h, n, d) for each head its own, to logits (h, n, k) float32."""
        return self.logits(self.scaled(features))

    def scaled(self, features: Tensor) -> Tensor:
        """Turn unit rows (..., d) into what `logits` takes."""
        return (features * self.scale).to(self.dtype)

    def logits(self, scaled: Tensor, heads: slice = EVERY) -> Tensor:
        """Map scaled rows (n, d), or (h, n, d), to logits (h, n, k) float32 of some heads."""
        layers = (self.weight1, self.bias1, self.weight2, self.bias2)
        weight1, bias1, weight2, bias2 = (each[heads].to(self.dtype) for each in layers)
        hidden = torch.baddbmm(bias1, scaled.expand(len(weight1), -1, -1), weight1).relu_()
        return torch.baddbmm(bias2, hidden, weight2).float()

    def alone(self, head: int, features: Tensor) -> Tensor:
        """Map unit rows (n, d), some at a time, to the logits (n, k) float32 of one head."""
        one, blocks = slice(head, head + 1), torch.split(features, BLOCK)
        return torch.cat([self.logits(self.scaled(rows), one)[0] for rows in blocks])

    @torch.no_grad()
    def fold(self, mean: Tensor, matrix: Tensor) -> None:
        """Make the heads read rows x where they read (x - mean) @ matrix: (d,) and (d, d)."""
        shift = self.scale * (mean @ matrix)
        self.bias1.sub_((shift @ self.weight1).unsqueeze(1))
        self.weight1.copy_(matrix @ self.weight1)
