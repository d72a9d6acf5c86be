"""What SCAN trains: linear heads, on features or on a backbone that learns with them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from spice_cli.heads.linear import LinearHeads
from spice_cli.heads.scan_config import Optimizer
from spice_cli.heads.source import Source
from spice_cli.models.backbone import Backbone
from spice_cli.models.classifier import Classifier

BATCH, ROWS = 512, 4096
"""Images, and rows of features, that are looked at together where nothing is learnt."""


class Network(nn.Module):
    """Linear heads on rows (n, d), or on what a backbone makes of pixels (n, 3, h, w).

    `losses` (h,) are the selection losses of these weights, infinite before any were taken.
    """

    losses: Tensor

    def __init__(self, heads: LinearHeads, backbone: Backbone | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.backbone, self.dtype = heads, backbone, dtype
        count, like = heads.bias.shape[0], heads.bias
        self.register_buffer("losses", torch.full((count,), torch.inf, device=like.device))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs to logits (h, n, k) float32."""
        if self.backbone is not None:
            with autocast(inputs.device, self.dtype):
                inputs = self.backbone(inputs)
        logits: Tensor = self.heads(inputs.float())
        return logits

    def best_head(self) -> tuple[Tensor, Tensor]:
        """Return weight (d, k) and bias (k,) of the head with the lowest loss."""
        head = self.losses.argmin()
        return self.heads.weight.detach()[:, head], self.heads.bias.detach()[head]

    def classifier(self) -> dict[str, Tensor]:
        """Return the backbone and the best head as `model.*`; nothing without a backbone."""
        if self.backbone is None:
            return {}
        model = classifier(deepcopy(self.backbone), *self.best_head())
        return {f"model.{name}": value for name, value in model.state_dict().items()}


def linear_heads(
    features: int, heads: int, clusters: int, generator: torch.Generator, dtype: torch.dtype
) -> LinearHeads:
    """Make heads whose weights are uniform within one over the root of `features`, as torch's."""
    shape = (features, heads, clusters)
    values = torch.rand(shape, generator=generator, device=generator.device)
    return LinearHeads((2 * values - 1) / math.sqrt(features), dtype)


def classifier(backbone: Backbone, weight: Tensor, bias: Tensor) -> Classifier:
    """Put one linear layer, weight (d, k) and bias (k,), on a backbone."""
    with torch.random.fork_rng(devices=[]):
        model = Classifier(backbone, len(bias))
    with torch.no_grad():
        model.fc.weight.copy_(weight.T)
        model.fc.bias.copy_(bias)
    return model.to(weight.device)


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    kind: Optimizer,
    *,
    lr: float,
    weight_decay: float,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """Make Adam or SGD without Nesterov's step, both with decay as a part of the gradient."""
    given = list(parameters)
    if kind == "adam":
        return torch.optim.Adam(given, lr=lr, weight_decay=weight_decay, fused=True)
    return torch.optim.SGD(given, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Compute in bf16 where that is the type of products."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


@torch.no_grad()
def plain_logits(
    source: Source, network: Network, count: int, heads: Sequence[int]
) -> Iterator[Tensor]:
    """Go through the logits (count, k) of some heads, of the first images, seen plainly.

    On stored features those of one head are held at a time; behind a backbone those of all.
    """
    network.eval()
    if network.backbone is None or source.pixels is None:
        rows = torch.split(source.everything[:count], ROWS)
        for head in heads:
            one = slice(head, head + 1)
            yield torch.cat([network.heads(part.float(), one)[0] for part in rows])
        return
    images = torch.split(source.pixels.images[:count], BATCH)
    whole = torch.cat([network(source.pixels.plain(part)) for part in images], 1)
    yield from (whole[head] for head in heads)
