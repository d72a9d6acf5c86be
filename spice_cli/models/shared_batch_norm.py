"""Batch norm of a batch that several processes hold a part of each."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup, get_world_size
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode

from spice_cli.errors import UsageError
from spice_cli.models.split_batch_norm import SplitBatchNorm2d
from spice_cli.ops.collective import gathered, summed

GroupOf = Callable[[int], ProcessGroup | None]
"""From a number of parts to the processes that hold one of them with this one; none: all."""


def share_batch_norm(module: nn.Module, world: int, group_of: GroupOf) -> None:
    """Make the batch norms in `module` right for a batch whose rows `world` processes share.

    In value, gradient and running statistics each does what it would of the whole batch, once the
    gradients of weight and bias are summed over processes. Only how it normalises in training is
    changed: what a subclass does beside that, parameters, state and eval mode stay. Parts of a
    split batch norm are dealt out, several to a process, or several processes to a part, which
    then exchange its moments in `group_of(parts)`: batch norm "synchronised" over devices.

    Raises:
        UsageError: neither of parts and processes divides the other, or a layer collects statistics
            in a way that is not known; some do so when they are first trained.
    """
    for layer in [each for each in module.modules() if each is not module]:
        if isinstance(layer, _BatchNorm):
            _share(layer, world, group_of)
        elif layer.training and _collects(layer):
            raise _refused(type(layer))


def _share(layer: _BatchNorm, world: int, group_of: GroupOf) -> None:
    kind: type[nn.Module] = type(layer)
    parts = 1
    if isinstance(layer, SplitBatchNorm2d):
        kind, parts = nn.BatchNorm2d, layer.splits
    if isinstance(layer, SplitBatchNorm2d) and parts % world == 0:
        layer.splits = parts // world
    elif world % parts == 0:
        group = {"group": group_of(parts), "kind": kind}
        layer.__class__ = type(f"Shared{kind.__name__}", (_Shared, kind), group)
    else:
        raise UsageError(
            f"{parts} parts of a batch norm cannot be dealt to {world} processes evenly",
            hint=f"other `--devices`, or `--set splits={world}`",
        )


class _Shared:
    """What a batch norm of any kind is turned into."""

    group: ProcessGroup | None
    kind: type[nn.Module]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise this process's part (m, c, ...) of a batch of as many in each."""
        with _Rerouted(self.group) as normalising:
            normal: Tensor = super().forward(x)  # type: ignore[misc]
        if self.training and not normalising.called:  # type: ignore[attr-defined]
            raise _refused(self.kind)
        return normal


class _Rerouted(TorchFunctionMode):
    """Within it, `F.batch_norm` normalises by the moments of the parts of all processes."""

    def __init__(self, group: ProcessGroup | None) -> None:
        super().__init__()
        self.group, self.called = group, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        self.called = True
        return _batch_norm(self.group, *args, **(kwargs or {}))


def _batch_norm(
    group: ProcessGroup | None,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `F.batch_norm` would with the parts x (m, c, ...) of all processes."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    size = get_world_size(group)
    with torch.no_grad():
        variance, mean = torch.var_mean(x.float(), _places(x), correction=0)
        means, variances = gathered(torch.stack([mean, variance])[None], size, group).unbind(1)
        spread, mean = torch.var_mean(means, 0, correction=0)
        variance = variances.mean(0) + spread
        count = size * x.numel() // x.shape[1]
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
    normal: Tensor = _Normal.apply(x, weight, bias, mean, variance, eps, count, group)
    return normal


class _Normal(torch.autograd.Function):
    """Normalise by the moments of the whole, which depend on every part of it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
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
        gradient, places = gradient.float(), _places(x)
        normal = (x.float() - _wide(mean, x)).mul_(_wide(scale, x))
        own = torch.stack([gradient.sum(places), (gradient * normal).sum(places)])
        whole = own.clone()
        summed([whole], ctx.group)
        shift, slope = (whole / ctx.count).unbind()
        inner = gradient - _wide(shift, x) - normal.mul_(_wide(slope, x))
        factor = scale if weight is None else weight * scale
        of_weight, of_bias = (None, None) if weight is None else (own[1], own[0])
        given = (inner * _wide(factor, x)).to(x.dtype)
        return given, of_weight, of_bias, None, None, None, None, None


def _places(x: Tensor) -> list[int]:
    """Return all axes of x (n, c, ...) but that of channels."""
    return [0, *range(2, x.ndim)]


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """Shape (c,) to broadcast over x (n, c, ...)."""
    return values.view(-1, *[1] * (x.ndim - 2))


def _collects(layer: nn.Module) -> bool:
    """Tell whether a layer learns, and keeps statistics of batches."""
    if isinstance(layer, _InstanceNorm) or "running_var" not in layer._buffers:
        return False
    return any(parameter.requires_grad for parameter in layer.parameters(recurse=False))


def _refused(kind: type[nn.Module]) -> UsageError:
    return UsageError(
        f"how a layer `{kind.__name__}` takes statistics of a batch cannot be shared by processes",
        hint="leave `--devices` out where this network is trained",
    )
