"""Clustering metrics: two label vectors (n,) in, one number out.

Each is computed in float64 or exact integers from the contingency table, so that ids may be any
integers, clusters may be empty, and there may be more or fewer clusters than classes. Where no
samples are given every metric is 1, as scikit-learn has it for those that it defines.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spice_cli.ops.contingency import Contingency, contingency, tabulate


def accuracy(predicted: Tensor, target: Tensor) -> float:
    """Share of samples that agree under the best one-to-one match of clusters to classes.

    Hungarian algorithm on the contingency table. Clusters left without a class count as wrong.
    """
    table = contingency(predicted, target)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return _share(table[rows, columns], table)


def many_to_one_accuracy(predicted: Tensor, target: Tensor) -> float:
    """Share of samples that agree when every cluster takes its most frequent class."""
    table = contingency(predicted, target)
    return _share(table.amax(1) if table.numel() else table, table)


purity = many_to_one_accuracy


def normalized_mutual_information(
    predicted: Tensor, target: Tensor, average: Literal["arithmetic", "geometric"] = "arithmetic"
) -> float:
    """Mutual information over the `average` of the two entropies.

    Two trivial labellings (one cluster, one class) agree fully, as scikit-learn has it.
    """
    table = contingency(predicted, target)
    if min(table.shape) <= 1:
        return float(len(table) == table.shape[1])
    total = table.sum()
    clusters, classes = _entropy(table.sum(1), total), _entropy(table.sum(0), total)
    mutual = max(clusters + classes - _entropy(table, total), 0.0)
    scale = (clusters + classes) / 2 if average == "arithmetic" else (clusters * classes) ** 0.5
    return mutual / scale


def adjusted_rand_index(predicted: Tensor, target: Tensor) -> float:
    """Share of sample pairs treated alike, corrected for chance (Hubert and Arabie, 1985)."""
    table = contingency(predicted, target)
    both, clusters, classes = _pairs(table), _pairs(table.sum(1)), _pairs(table.sum(0))
    every = _pairs(table.sum())
    ceiling = every * (clusters + classes) - 2 * clusters * classes
    return 2 * (every * both - clusters * classes) / ceiling if ceiling else 1.0


def adjusted_mutual_information(predicted: Tensor, target: Tensor) -> float:
    """Mutual information corrected for chance, over the mean entropy (Vinh et al., 2010)."""
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(target.cpu().numpy(), predicted.cpu().numpy()))


def match(predicted: Tensor, target: Tensor) -> dict[int, int]:
    """Map cluster ids to class ids by the match that `accuracy` scores.

    Clusters beyond the number of classes are left out.
    """
    return _match(tabulate(predicted, target))


@dataclass(frozen=True)
class Confusion:
    """What became of each class."""

    counts: Tensor
    """(classes, clusters) int64."""
    classes: tuple[int, ...]
    """Ids of the rows, ascending."""
    clusters: tuple[int, ...]
    """Ids of the columns: by the class that each is matched to, unmatched ones last."""


def confusion(predicted: Tensor, target: Tensor) -> Confusion:
    """Count how the samples of each class spread over the clusters, matched clusters first."""
    table = tabulate(predicted, target)
    matched = _match(table)
    last = max(matched.values(), default=0) + 1
    clusters = table.clusters.tolist()
    order = sorted(range(len(clusters)), key=lambda row: (matched.get(clusters[row], last), row))
    return Confusion(
        table.counts[order].T.contiguous(),
        tuple(table.classes.tolist()),
        tuple(clusters[row] for row in order),
    )


def _match(table: Contingency) -> dict[int, int]:
    rows, columns = linear_sum_assignment(table.counts.numpy(), maximize=True)
    return dict(zip(table.clusters[rows].tolist(), table.classes[columns].tolist(), strict=True))


def _share(right: Tensor, table: Tensor) -> float:
    return int(right.sum()) / int(table.sum()) if table.numel() else 1.0


def _entropy(counts: Tensor, total: Tensor) -> float:
    return float(torch.special.entr(counts.double() / total).sum())


def _pairs(counts: Tensor) -> int:
    """Pairs within groups; a Python integer, because products of these outgrow int64."""
    return int((counts * (counts - 1) // 2).sum())
