"""Which images stand out: those that are there twice, and those that are like no other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.ops.doubles import NEAR, signatures
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.similarity import similar_to

ALIKE = 0.999
"""Cosine of embeddings from which two rows without images count as near-duplicates."""
MOST_ROWS, MOST_PAIRS = 20_000, 2_000
"""Rows that are compared with each other (of more, so many are drawn); pairs looked at closely."""


@dataclass(frozen=True)
class Odd:
    """What stands out among a run's images."""

    alike: list[tuple[int, int, float]]
    """Pairs of rows and the cosine of their embeddings, the most alike first."""
    alone: list[tuple[int, float]]
    """Rows and their mean cosine with their nearest neighbours, the least first."""
    compared: int
    """How many rows were."""


def odd(
    embeddings: Tensor,
    images: Tensor | None,
    generator: torch.Generator,
    *,
    neighbors: int = 10,
    most: int = 24,
) -> Odd:
    """Find up to `most` near-duplicates and outliers among unit rows (n, d) and their images.

    Near-duplicates are nearest neighbours whose pixels are nearly the same too (`ops.doubles`).
    """
    rows = torch.arange(len(embeddings))
    if len(rows) > MOST_ROWS:
        rows = torch.randperm(len(rows), generator=generator)[:MOST_ROWS].sort().values
    x = embeddings[rows]
    if len(x) < 2:
        return Odd([], [], len(x))
    near = nearest(x, min(neighbors + 1, len(x)))
    cosine = similar_to(x, near[:, 0], near)[:, 1:]
    first = torch.stack([near[:, 0], near[:, 1]], 1).sort(1).values
    pairs, at = torch.unique(first, dim=0, return_inverse=True)
    value = torch.zeros(len(pairs))
    value[at] = cosine[:, 0]
    order = value.argsort(descending=True, stable=True)[:MOST_PAIRS]
    same = _same(images, rows[pairs[order]]) if images is not None else value[order] >= ALIKE
    kept = order[same][:most]
    mean = cosine.mean(1)
    alone = mean.argsort(stable=True)[: min(most, len(x) // 4)]
    return Odd(
        [(*rows[pairs[i]].tolist(), float(value[i])) for i in kept.tolist()],
        [(int(rows[i]), float(mean[i])) for i in alone.tolist()],
        len(x),
    )


def _same(images: Tensor, pairs: Tensor) -> Tensor:
    """Tell of which pairs of rows (p, 2) the pixels are the same or nearly."""
    told = []
    for part in torch.split(pairs, 256):
        left, right = images[part[:, 0]], images[part[:, 1]]
        near = (signatures(left) * signatures(right)).sum(1) >= NEAR
        told.append(near | (left == right).flatten(1).all(1))
    return torch.cat(told)
