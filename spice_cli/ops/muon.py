"""Muon: momentum whose update is brought to the nearest semi-orthogonal matrix.

https://kellerjordan.github.io/posts/muon/ (Jordan et al., 2024). PyTorch's own takes matrices
only; this one also takes convolution kernels, as (out, in * h * w).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, *, iterations: int = 5) -> Tensor:
    """Return about U V^T of `matrix` (m, n) = U S V^T, float32: singular values within .7 and 1.2.

    A quintic Newton-Schulz iteration in bf16.
    """
    x = matrix.bfloat16()
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    nearest: Tensor = (x.T if tall else x).float()
    return nearest


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for two axes or more."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float,
        weight_decay: float = 0.0,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        ahead = gradient.add(buffer, alpha=group["momentum"]).flatten(1)
        scale = max(1, len(ahead) / ahead.shape[1]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonalise(ahead).view(parameter.shape), alpha=-group["lr"] * scale)


def sgd(
    model: nn.Module, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Return SGD over all that is trained, as the references have it."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            fused=True,
        )
    ]


def muon(
    model: nn.Module, *, lr: float, momentum: float, weight_decay: float, adam_lr: float
) -> list[torch.optim.Optimizer]:
    """Return Muon for kernels and matrices, AdamW for the rest and for what reads the pixels."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 2 or (p.ndim == 4 and p.shape[1] > 3)]
    ours = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in ours]
    return [
        Muon(matrices, lr=lr, momentum=momentum, weight_decay=weight_decay),
        torch.optim.AdamW(rest, lr=adam_lr, weight_decay=0.0, fused=True),
    ]
