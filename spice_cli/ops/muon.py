"""Muon: momentum whose update is brought to the nearest semi-orthogonal matrix.

https://kellerjordan.github.io/posts/muon/ (Jordan et al., 2024). PyTorch's own takes matrices
only; this one also takes convolution kernels, as (out, h * w * in): the order in which they lie in
memory under channels last, and the order of columns changes nothing else.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrices: Tensor, *, iterations: int = 5) -> Tensor:
    """Return about U V^T of each of `matrices` (b, m, n) = U S V^T: singular values in .7 to 1.2.

    A quintic Newton-Schulz iteration in bf16, which is what is returned.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, gram, x, beta=3.4445)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for two axes or more.

    Parameters of one shape are brought to their semi-orthogonal matrices together.
    """

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
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, gradients)
        ahead = torch._foreach_add(gradients, buffers, alpha=group["momentum"])
        updates = orthogonalise(torch.stack([each.movedim(1, -1).flatten(1) for each in ahead]))
        rate = group["lr"] * max(1, updates.shape[1] / updates.shape[2]) ** 0.5
        rows, columns, *sides = parameters[0].shape
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.add_(update.reshape(rows, *sides, columns).movedim(-1, 1), alpha=-rate)


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
