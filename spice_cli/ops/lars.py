"""LARS: layer-wise steps as long as the weights they change, for very large batches."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Lars(torch.optim.Optimizer):
    """SGD with momentum whose rate is scaled for each matrix by the lengths of it and its gradient.

    You, Gitman and Ginsburg, https://arxiv.org/abs/1708.03888, algorithm 1:
    v <- momentum v + lr trust |w| / (|g| + decay |w|) (g + decay w), w <- w - v. Parameters of one
    axis (biases, batch norm) take plain momentum steps of g and do not decay, as in SimCLR, BYOL
    and MoCo v3; so does a matrix for which |w| or |g| is zero, but for the decay. Nothing waits for
    the device.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if not self.state[parameter]:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
                update = parameter.grad
                if parameter.ndim > 1:
                    decayed = update.add(parameter, alpha=group["weight_decay"])
                    update = decayed * _scale(
                        parameter, update, group["weight_decay"], group["trust"]
                    )
                buffer = self.state[parameter]["momentum_buffer"]
                buffer.mul_(group["momentum"]).add_(update * group["lr"])
                parameter.sub_(buffer)


def _scale(weights: Tensor, gradient: Tensor, decay: float, trust: float) -> Tensor:
    """Return trust |w| / (|g| + decay |w|), 1 where a length is zero."""
    long, steep = torch.linalg.vector_norm(weights), torch.linalg.vector_norm(gradient)
    return torch.where((long > 0) & (steep > 0), trust * long / (steep + decay * long), 1.0)
