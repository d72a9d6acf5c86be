"""Moving averages: of a model's weights, and of what it predicts."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """Keeps `decay` of its past with every value it is given, less of it at first.

    The decay at step t (from 0) is min(decay, (1 + t) / (10 + t)), as `ops.schedule.ema_decay`, so
    that short runs are not dominated by `start`.
    """

    value: Tensor
    steps: Tensor

    def __init__(self, start: Tensor, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("value", start.clone())
        self.register_buffer("steps", torch.zeros(()))

    @torch.no_grad()
    def forward(self, new: Tensor) -> Tensor:
        """Take in a value of the shape of `start`; return the average, which the next one moves."""
        decay = ((1 + self.steps) / (10 + self.steps)).clamp_max(self.decay)
        self.steps += 1
        return self.value.lerp_(new, 1 - decay)


def follower(average: nn.Module, model: nn.Module) -> Callable[[float], None]:
    """Return the function that moves the average's weights towards the model's by 1 - its argument.

    Buffers are copied, as FixMatch does. Both modules must keep their tensors, as training and
    `load_state_dict` do.
    """
    weights = [[*each.parameters()] for each in (average, model)]
    buffers = [
        [[b for b in each.buffers() if b.is_floating_point() is real] for each in (average, model)]
        for real in (True, False)
    ]

    @torch.no_grad()
    def follow(decay: float) -> None:
        torch._foreach_lerp_(*weights, 1 - decay)  # type: ignore[call-overload]
        for old, new in buffers:
            if old:
                torch._foreach_copy_(old, new)

    return follow
