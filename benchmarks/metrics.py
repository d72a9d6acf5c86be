"""ACC, NMI and ARI of one labelling, from one table, beside scikit-learn and scipy."""

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from benchmarks.measure import Row, alternate
from spice_cli.ops.contingency import tabulate
from spice_cli.ops.metrics import accuracy, adjusted_rand_index, normalized_mutual_information
from spice_cli.stages.allocator import keep_freed_memory

GOAL = 5.0


def bench() -> list[Row]:
    """Score clusters of ImageNet's size, right to about a half and to about a tenth."""
    keep_freed_memory()
    return [_row(1_280_000, 1_000, right) for right in (0.5, 0.1)]


def _row(n: int, k: int, right: float) -> Row:
    predicted, target = labels(n, k, right)
    guess, truth = predicted.numpy(), target.numpy()

    def ours() -> tuple[float, ...]:
        table = tabulate(predicted, target)
        metrics = (accuracy, normalized_mutual_information, adjusted_rand_index)
        return tuple(metric.of(table) for metric in metrics)

    def theirs() -> tuple[float, ...]:
        table = contingency_matrix(truth, guess)
        agreed = table[linear_sum_assignment(table, maximize=True)].sum() / len(truth)
        shared = normalized_mutual_info_score(truth, guess), adjusted_rand_score(truth, guess)
        return float(agreed), *map(float, shared)

    found, expected = ours(), theirs()
    difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if difference > 1e-9:
        raise ValueError(f"the metrics differ by {difference}")
    scores = ", ".join(f"{score:.3f}" for score in found)
    mine, peers = alternate(ours, theirs)
    return Row(
        what=f"ACC + NMI + ARI = {scores}",
        peer="scikit-learn and scipy",
        n=f"{n:,} labels, k = {k:,}",
        ours=mine,
        theirs=peers,
        goal=GOAL,
        note=f"the largest difference of the three is {difference:.0e}",
    )


def labels(n: int, k: int, right: float) -> tuple[Tensor, Tensor]:
    """Draw clusters and classes (n,): a share is right, most others are near, a tenth anywhere."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(k, (n,), generator=generator)
    near = (target + torch.randn(n, generator=generator).mul(20).long()) % k
    predicted = torch.where(torch.rand(n, generator=generator) < right, target, near)
    anywhere = torch.randint(k, (n,), generator=generator)
    predicted = torch.where(torch.rand(n, generator=generator) < 0.1, anywhere, predicted)
    return torch.randperm(k, generator=generator)[predicted], target
