"""Batch norm of a batch that several processes hold a part of each."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup, get_world_size

from spice_cli.models.split_batch_norm import SplitBatchNorm2d
from spice_cli.ops.collective import gathered, summed


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the parts (n, c, h, w), of one size, that the processes of a group hold.

    In value, gradient and running statistics what `BatchNorm2d` makes of the whole, once the
    gradients of weight and bias are summed over processes. In eval mode, and in its state dict, it
    is a plain `BatchNorm2d`. Batch norm "synchronised" over devices, in place of MoCo's shuffling.
    """

    group: ProcessGroup | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, c, h, w)."""
        if not self.training:
            return super().forward(x)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        size = get_world_size(self.group)
        with torch.no_grad():
            variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
            means, variances = gathered(
                torch.stack([mean, variance])[None], size, self.group
            ).unbind(1)
            spread, mean = torch.var_mean(means, 0, correction=0)
            variance = variances.mean(0) + spread
        count = size * x.numel() // x.shape[1]
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked.add_(1)
        normal: Tensor = _Normal.apply(
            x, self.weight, self.bias, mean, variance, self.eps, count, self.group
        )
        return normal


class _Normal(torch.autograd.Function):
    """Normalise by the moments of the whole, which depend on every part of it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        count: int,
        group: ProcessGroup | None,
    ) -> Tensor:
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.count, ctx.group = count, group
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradient.float()
        normal = (x.float() - _wide(mean)).mul_(_wide(scale))
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        whole = own.clone()
        summed([whole], ctx.group)
        shift, slope = (whole / ctx.count).unbind()
        inner = gradient - _wide(shift) - normal.mul_(_wide(slope))
        given = (inner * _wide(weight * scale)).to(x.dtype)
        return given, own[1], own[0], None, None, None, None, None


def _wide(values: Tensor) -> Tensor:
    """Shape (c,) to broadcast over (n, c, h, w)."""
    return values[:, None, None]


def share_batch_norm(
    module: nn.Module, world: int, group_of: Callable[[int], ProcessGroup | None]
) -> None:
    """Make the batch norms of `module` right for a batch whose rows `world` processes share.

    Parts of a split batch norm are dealt out, several to a process, or several processes to a part;
    then they exchange its moments in `group_of(parts)`. Raises ValueError where neither divides
    the other.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _shared(child, world, group_of))
        else:
            share_batch_norm(child, world, group_of)


def _shared(
    norm: nn.BatchNorm2d, world: int, group_of: Callable[[int], ProcessGroup | None]
) -> nn.BatchNorm2d:
    parts = norm.splits if isinstance(norm, SplitBatchNorm2d) else 1
    momentum = norm.momentum
    if momentum is None:
        raise ValueError("a batch norm with a cumulative average cannot be shared")
    if parts % world == 0:
        made: nn.BatchNorm2d = SplitBatchNorm2d(
            norm.num_features, parts // world, eps=norm.eps, momentum=momentum
        )
    elif world % parts == 0:
        made = SharedBatchNorm2d(norm.num_features, eps=norm.eps, momentum=momentum)
        made.group = group_of(parts)
    else:
        raise ValueError(
            f"{parts} parts of a batch norm cannot be dealt to {world} processes evenly"
        )
    made.weight, made.bias = norm.weight, norm.bias
    for buffer, tensor in norm.named_buffers():
        setattr(made, buffer, tensor)
    return made.train(norm.training)
