"""Which images a report shows of each cluster."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Shown:
    """Rows of one cluster's images."""

    prototypes: Tensor
    """Nearest to the mean of the most confident half (SPICE, equations 1 and 2); without
    embeddings the most confident."""
    typical: Tensor
    """Drawn at random."""
    doubtful: Tensor
    """Least confident first."""


def shown(
    members: Tensor,
    confidence: Tensor,
    embeddings: Tensor | None,
    count: int,
    generator: torch.Generator,
) -> Shown:
    """Choose up to `count` of each kind among a cluster's rows (m,), with their confidence (m,).

    Embeddings (n, d) are unit rows of all images.
    """
    order = confidence.argsort(descending=True, stable=True)
    best = members[order]
    if embeddings is not None and len(members):
        center = F.normalize(embeddings[best[: -(-len(best) // 2)]].mean(0), dim=0)
        best = members[(embeddings[members] @ center).argsort(descending=True, stable=True)]
    drawn = torch.randperm(len(members), generator=generator)[:count]
    return Shown(best[:count], members[drawn], members[order.flip(0)][:count])
