"""How good features and clusterings look to someone who knows no labels."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.contingency import tabulate
from spice_cli.ops.metrics import adjusted_rand_index, normalized_mutual_information

ROWS = 25_600
"""As many rows as Garrido et al. find enough for RankMe."""
BLOCK = 2**12
"""Of them in float64 at a time."""
FLAT, ALIKE = 1.5, 0.9999
"""Below this RankMe, or above this mean cosine, features have collapsed."""


def quality(embeddings: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Return `rankme` and `mean_cosine` of at most `ROWS` random rows of `embeddings` (n, d).

    Both are NaN where a value is not finite.
    """
    rows = embeddings
    if len(rows) > ROWS:
        drawn = torch.randperm(len(rows), generator=generator, device=generator.device)[:ROWS]
        rows = rows[drawn.to(rows.device)]
    return {"rankme": rankme(rows), "mean_cosine": mean_cosine(rows)}


def collapsed(found: Mapping[str, float]) -> bool:
    """Tell whether a `quality` is one of features that no longer tell images apart.

    RankMe sees features that shrank to a line; where they shrank to a point, and only the rounding
    of bf16 is left beside it, the cosine does.
    """
    return not (found["rankme"] >= FLAT and found["mean_cosine"] <= ALIKE)


def rankme(features: Tensor) -> float:
    """Return how many directions `features` (n, d) spread over, from 1 to min(n, d).

    RankMe (Garrido et al., ICML 2023, https://arxiv.org/abs/2210.02885): the exponential of the
    entropy of the singular values, divided by their sum; without the paper's 1e-7, which stands
    there for 0 log 0 = 0. Features are not centred. NaN where a value is not finite or all are 0.
    """
    if not bool(features.isfinite().all()):
        return float("nan")
    tall = features if features.shape[0] >= features.shape[1] else features.T
    gram = torch.zeros(tall.shape[1], tall.shape[1], dtype=torch.float64, device=tall.device)
    for block in torch.split(tall, BLOCK):
        wide = block.double()
        gram.addmm_(wide.T, wide)
    singular = torch.linalg.eigvalsh(gram).clamp_(min=0).sqrt_()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


def mean_cosine(features: Tensor) -> float:
    """Return the mean cosine of all pairs of different rows of `features` (n, d); 1 for one row.

    1 where all rows point the same way, 0 where they point everywhere alike.
    """
    n = len(features)
    if n < 2:
        return 1.0
    total = features.new_zeros(features.shape[1], dtype=torch.float64)
    squares = total.new_zeros(())
    for block in torch.split(features, BLOCK):
        rows = F.normalize(block.double())
        total += rows.sum(0)
        squares += rows.square().sum()
    return float((total @ total - squares) / (n * (n - 1)))


def stability(labelings: Sequence[Tensor] | Tensor) -> dict[str, float]:
    """Return the mean `ari` and `nmi` over all pairs of `labelings` (s, n); 1 where there is one.

    Of clusterings from several seeds: how far a method finds the same thing again.
    """
    tables = [tabulate(one, other) for one, other in combinations(list(labelings), 2)]
    return {
        "ari": mean([adjusted_rand_index.of(table) for table in tables] or [1.0]),
        "nmi": mean([normalized_mutual_information.of(table) for table in tables] or [1.0]),
    }
