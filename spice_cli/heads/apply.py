"""One trained head by itself: from unit rows (b, d) to probabilities (b, k)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.heads.linear import LinearHeads, UnitHeads
from spice_cli.heads.perceptrons import Heads
from spice_cli.ops.gmm import Mixture, log_joint


class Chosen(nn.Module):
    """The softmax of the logits, over a temperature, of a set of one head."""

    def __init__(self, heads: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.heads, self.temperature = heads, temperature

    def forward(self, rows: Tensor) -> Tensor:
        """Map unit rows (b, d) to probabilities (b, k) float32."""
        logits: Tensor = self.heads(rows)[0]
        return (logits / self.temperature).softmax(-1)


class Cosines(nn.Module):
    """The softmax of the cosines with centres (k, d) of unit length, over a temperature."""

    centers: Tensor

    def __init__(self, centers: Tensor, temperature: float) -> None:
        super().__init__()
        self.register_buffer("centers", centers.clone())
        self.temperature = temperature

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (b, d) to probabilities (b, k) float32."""
        return (F.normalize(rows) @ self.centers.T / self.temperature).softmax(1)


class Gaussians(nn.Module):
    """The responsibilities of a mixture of Gaussians, in float64 as it was fitted."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("weights", "means", "variances"):
            self.register_buffer(name, state[name].double())

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows (b, d) to probabilities (b, k) float32."""
        mixture = Mixture(self.weights, self.means, self.variances)
        return log_joint(rows.double(), mixture).softmax(1).float()


def perceptron(
    state: Mapping[str, Tensor], head: int, dtype: torch.dtype, temperature: float = 1.0
) -> Chosen:
    """Take one of several stored perceptrons (`perceptrons.Heads`)."""
    one = {name: state[name][head : head + 1] for name in ("weight1", "bias1", "weight2", "bias2")}
    _, features, hidden = one["weight1"].shape
    made = Heads(1, features, hidden, one["weight2"].shape[2], torch.Generator(), dtype)
    made.load_state_dict(one, strict=False)
    return Chosen(made.requires_grad_(False), temperature)


def linear(weight: Tensor, bias: Tensor, head: int, dtype: torch.dtype) -> Chosen:
    """Take one of several linear maps, weight (d, h, k) and bias (h, k)."""
    made = LinearHeads(weight[:, head : head + 1].clone(), dtype)
    made.load_state_dict({"weight": made.weight.detach(), "bias": bias[head : head + 1]})
    return Chosen(made.requires_grad_(False))


def cosines(weight: Tensor, head: int, dtype: torch.dtype, temperature: float) -> Chosen:
    """Take one of several sets of unit vectors, weight (d, h, k)."""
    made = UnitHeads(weight[:, head : head + 1].clone(), dtype)
    return Chosen(made.requires_grad_(False), temperature)
