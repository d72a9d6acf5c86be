"""Batch norm over parts of a batch, as several GPUs would do it, on one device.

MoCo needs it: with one batch norm over the whole batch the statistics give away which key belongs
to which query (https://arxiv.org/abs/1911.05722, section 3.3), which costs some 4 points of kNN
accuracy on CIFAR-10.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of each of `splits` equal, contiguous parts of a batch (n, c, h, w) on its own.

    The running statistics follow the mean of the parts' statistics. In eval mode, and in its state
    dict, it is a plain `BatchNorm2d`. Parts are normalised one after the other, which is the faster
    way on its own (each part is a dense block under any memory format); inside `torch.compile` all
    at once, which a compiler fuses. Raises ValueError where `splits` does not divide n.
    """

    def __init__(
        self, num_features: int, splits: int, *, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, c, h, w)."""
        if not self.training:
            return super().forward(x)
        if len(x) % self.splits:
            raise ValueError(f"a batch of {len(x)} does not divide into {self.splits} parts")
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        way = _at_once if torch.compiler.is_compiling() else _in_turn
        normal, mean, variance = way(x, self.splits, self.weight, self.bias, self.eps)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)
        return normal


def _in_turn(
    x: Tensor, splits: int, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x normalised, and the mean over its parts of their means and variances (c,)."""
    means, variances = torch.zeros(2, splits, len(weight), device=x.device)
    parts = [
        F.batch_norm(part, mean, variance, weight, bias, True, 1.0, eps)
        for part, mean, variance in zip(x.chunk(splits), means, variances, strict=True)
    ]
    return torch.cat(parts), means.mean(0), variances.mean(0)


def _at_once(
    x: Tensor, splits: int, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same, by reductions over all parts together."""
    parts = x.float().view(splits, -1, *x.shape[1:])
    variance, mean = torch.var_mean(parts, (1, 3, 4), correction=0, keepdim=True)
    scale = (variance + eps).rsqrt() * weight[:, None, None]
    normal = ((parts - mean) * scale + bias[:, None, None]).to(x.dtype).flatten(0, 1)
    count = parts[0, :, 0].numel()
    unbiased = variance.detach() * (count / (count - 1))
    return normal, mean.detach().mean((0, 1, 3, 4)), unbiased.mean((0, 1, 3, 4))


def split_batch_norm(module: nn.Module, splits: int) -> None:
    """Put a `SplitBatchNorm2d` in the place of every `BatchNorm2d` inside `module`.

    Raises ValueError for batch norms of other kinds, of which it is not known what else they do.
    """
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, _split(child, splits))
        elif isinstance(child, _BatchNorm):
            raise ValueError(f"a `{type(child).__name__}` cannot be split")
        else:
            split_batch_norm(child, splits)


def _split(plain: nn.BatchNorm2d, splits: int) -> SplitBatchNorm2d:
    if plain.momentum is None:
        raise ValueError("a batch norm with a cumulative average cannot be split")
    split = SplitBatchNorm2d(plain.num_features, splits, eps=plain.eps, momentum=plain.momentum)
    split.to(plain.weight.device, plain.weight.dtype).load_state_dict(plain.state_dict())
    return split.train(plain.training)
