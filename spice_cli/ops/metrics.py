"""Clustering metrics: two label vectors (n,) in, one number out.

Each is called with `(predicted, target)`, or as `metric.of` with their table where several are
wanted. It is computed in float64 or exact integers, so that ids may be any integers, clusters may
be empty, and there may be more or fewer clusters than classes. Where no samples are given every
metric is 1, as scikit-learn has it for those that it defines.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spice_cli.ops.contingency import Contingency, Tabulated


@Tabulated
def accuracy(table: Contingency) -> float:
    """Share of samples that agree under the best one-to-one match of clusters to classes.

    Hungarian algorithm on the contingency table. Clusters left without a class count as wrong.
    """
    rows, columns = linear_sum_assignment(table.counts.numpy(), maximize=True)
    return _share(table.counts[rows, columns], table)


@Tabulated
def many_to_one_accuracy(table: Contingency) -> float:
    """Share of samples that agree when every cluster takes its most frequent class."""
    counts = table.counts
    return _share(counts.amax(1) if counts.numel() else counts, table)


purity = many_to_one_accuracy


@Tabulated
def normalized_mutual_information(
    table: Contingency, average: Literal["arithmetic", "geometric"] = "arithmetic"
) -> float:
    """Mutual information over the `average` of the two entropies.

    Two trivial labellings (one cluster, one class) agree fully, as scikit-learn has it.
    """
    counts = table.counts
    if min(counts.shape) <= 1:
        return float(len(counts) == counts.shape[1])
    clusters, classes = _entropy(counts.sum(1)), _entropy(counts.sum(0))
    mutual = max(clusters + classes - _entropy(counts[counts > 0]), 0.0)
    scale = (clusters + classes) / 2 if average == "arithmetic" else (clusters * classes) ** 0.5
    return mutual / scale


@Tabulated
def adjusted_rand_index(table: Contingency) -> float:
    """Share of sample pairs treated alike, corrected for chance (Hubert and Arabie, 1985)."""
    counts = table.counts
    both, clusters, classes = _pairs(counts), _pairs(counts.sum(1)), _pairs(counts.sum(0))
    every = _pairs(counts.sum())
    ceiling = every * (clusters + classes) - 2 * clusters * classes
    return 2 * (every * both - clusters * classes) / ceiling if ceiling else 1.0


@Tabulated
def adjusted_mutual_information(table: Contingency) -> float:
    """Mutual information corrected for chance, over the mean entropy (Vinh et al., 2010)."""
    from sklearn.metrics import adjusted_mutual_info_score

    cells = table.counts.nonzero()
    pairs = cells.repeat_interleave(table.counts[cells.unbind(1)], dim=0).numpy()
    return float(adjusted_mutual_info_score(pairs[:, 1], pairs[:, 0]))


@Tabulated
def v_measure(table: Contingency) -> float:
    """Harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg, 2007).

    That is the normalised mutual information with the arithmetic mean, whatever was asked for.
    """
    return normalized_mutual_information.of(table)


@Tabulated
def fowlkes_mallows_index(table: Contingency) -> float:
    """Geometric mean of precision and recall of sample pairs (Fowlkes and Mallows, 1983).

    0 where no two samples share both cluster and class, as scikit-learn has it.
    """
    counts = table.counts
    both, clusters, classes = _pairs(counts), _pairs(counts.sum(1)), _pairs(counts.sum(0))
    if not counts.numel():
        return 1.0
    return both / math.sqrt(clusters * classes) if both else 0.0


@Tabulated
def match(table: Contingency) -> dict[int, int]:
    """Map cluster ids to class ids by the match that `accuracy` scores.

    Clusters beyond the number of classes are left out.
    """
    rows, columns = linear_sum_assignment(table.counts.numpy(), maximize=True)
    return dict(zip(table.clusters[rows].tolist(), table.classes[columns].tolist(), strict=True))


@dataclass(frozen=True)
class Confusion:
    """What became of each class."""

    counts: Tensor
    """(classes, clusters) int64."""
    classes: tuple[int, ...]
    """Ids of the rows, ascending."""
    clusters: tuple[int, ...]
    """Ids of the columns: by the class that each is matched to, unmatched ones last."""


@Tabulated
def confusion(table: Contingency) -> Confusion:
    """Count how the samples of each class spread over the clusters, matched clusters first."""
    matched = match.of(table)
    last = max(matched.values(), default=0) + 1
    clusters = table.clusters.tolist()
    order = sorted(range(len(clusters)), key=lambda row: (matched.get(clusters[row], last), row))
    return Confusion(
        table.counts[order].T.contiguous(),
        tuple(table.classes.tolist()),
        tuple(clusters[row] for row in order),
    )


def _share(right: Tensor, table: Contingency) -> float:
    return int(right.sum()) / int(table.counts.sum()) if table.counts.numel() else 1.0


def _entropy(counts: Tensor) -> float:
    shares = counts.double()
    return float(torch.special.entr(shares.div_(shares.sum())).sum())


def _pairs(counts: Tensor) -> int:
    """Pairs within groups; a Python integer, because products of these outgrow int64."""
    return int((counts * (counts - 1)).sum()) // 2
