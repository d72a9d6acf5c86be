"""Independent linear maps of the same features, as one matrix product."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EVERY = slice(None)


class LinearHeads(nn.Module):
    """Linear maps (h of them) from rows of width d to k logits each.

    `weight` (d, h, k) are the weights they start from; biases (h, k) start at nothing. Weights are
    float32, products are taken in `dtype`.
    """

    axes: ClassVar[dict[str, int]] = {"weight": 1}

    def __init__(self, weight: Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros_like(weight[0]))
        self.dtype = dtype

    def forward(self, rows: Tensor, heads: slice = EVERY) -> Tensor:
        """Map rows (n, d) to logits (h, n, k) float32 of some heads."""
        weight, bias = self.weight[:, heads], self.bias[heads]
        flat = rows.to(self.dtype) @ weight.flatten(1).to(self.dtype)
        return (flat.float().view(-1, *bias.shape) + bias).transpose(0, 1)

    @torch.no_grad()
    def fit(self, rows: Tensor, residual: Tensor) -> None:
        """Set the gradients of a loss whose gradient by the logits is `residual` (h, n, k).

        The same as backpropagation of `residual` through `forward(rows)`, without a graph.
        """
        flat = residual.transpose(0, 1).flatten(1)
        weight = rows.to(self.dtype).T @ flat.to(self.dtype)
        self.weight.grad = weight.float().view_as(self.weight)
        self.bias.grad = flat.sum(0).view_as(self.bias)


class UnitHeads(nn.Module):
    """The same with weights scaled to unit vectors and without biases: k cosines for unit rows.

    Logits stay within 1 of 0, so that a temperature alone says how sure a head can be.
    """

    axes: ClassVar[dict[str, int]] = {"weight": 1}

    def __init__(self, weight: Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """Map unit rows (n, d) to cosines (h, n, k) float32."""
        _, heads, clusters = self.weight.shape
        flat = rows.to(self.dtype) @ F.normalize(self.weight, dim=0).flatten(1).to(self.dtype)
        return flat.float().view(-1, heads, clusters).transpose(0, 1)


def unit_weights(features: int, heads: int, clusters: int, generator: torch.Generator) -> Tensor:
    """Draw weights (d, h, k) of which each (d,) is about a unit vector of random direction."""
    shape = (features, heads, clusters)
    values = torch.randn(shape, generator=generator, device=generator.device)
    return values / math.sqrt(features)
