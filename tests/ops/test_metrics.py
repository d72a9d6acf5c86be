from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn import metrics as sk
from torch import Tensor

from spice_cli.ops import metrics

NONE = torch.empty(0, dtype=torch.int64)


@st.composite
def labellings(draw: st.DrawFn, largest: int = 8) -> tuple[Tensor, Tensor]:
    """Two label vectors: few or many clusters, gaps in the ids, one sample, one cluster."""
    n = draw(st.integers(1, 60))
    both = [
        draw(st.lists(st.integers(0, draw(st.integers(0, largest))), min_size=n, max_size=n))
        for _ in range(2)
    ]
    return torch.tensor(both[0]) * 3 - 2, torch.tensor(both[1])


@settings(deadline=None)
@given(labellings(largest=4))
def test_accuracy_is_the_best_of_all_permutations(drawn: tuple[Tensor, Tensor]) -> None:
    predicted, target = (torch.unique(x, return_inverse=True)[1] for x in drawn)
    size = int(max(predicted.max(), target.max())) + 1
    best = max(
        float((torch.tensor(order)[predicted] == target).double().mean())
        for order in permutations(range(size))
    )
    assert metrics.accuracy(*drawn) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(labellings(largest=20))
def test_accuracy_equals_the_assignment_on_a_padded_square_table(
    drawn: tuple[Tensor, Tensor],
) -> None:
    predicted, target = drawn
    table = np.zeros((64, 64), dtype=int)
    np.add.at(table, (predicted.numpy() + 2, target.numpy()), 1)
    matched = table[linear_sum_assignment(-table)].sum()
    assert metrics.accuracy(predicted, target) == matched / len(target)


def test_surplus_clusters_count_as_wrong() -> None:
    predicted, target = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1])
    assert metrics.accuracy(predicted, target) == 5 / 6
    assert metrics.purity(predicted, target) == 1.0


def test_a_missing_cluster_costs_its_class() -> None:
    predicted, target = torch.tensor([4, 4, 9, 9, 9]), torch.tensor([0, 0, 1, 1, 2])
    assert metrics.accuracy(predicted, target) == 4 / 5
    assert metrics.purity(predicted, target) == 4 / 5


@settings(deadline=None)
@given(labellings())
def test_purity_equals_a_count_of_majorities(drawn: tuple[Tensor, Tensor]) -> None:
    groups: dict[int, Counter[int]] = {}
    for cluster, label in zip(*(x.tolist() for x in drawn), strict=True):
        groups.setdefault(cluster, Counter())[label] += 1
    right = sum(group.most_common(1)[0][1] for group in groups.values())
    assert metrics.purity(*drawn) == metrics.many_to_one_accuracy(*drawn) == right / len(drawn[0])


@settings(deadline=None)
@given(labellings())
def test_information_and_pair_metrics_equal_scikit_learns(drawn: tuple[Tensor, Tensor]) -> None:
    predicted, target = drawn
    p, t = predicted.numpy(), target.numpy()
    for average in ("arithmetic", "geometric"):
        assert metrics.normalized_mutual_information(predicted, target, average) == pytest.approx(
            sk.normalized_mutual_info_score(t, p, average_method=average), abs=1e-9
        )
    assert metrics.adjusted_rand_index(predicted, target) == pytest.approx(
        sk.adjusted_rand_score(t, p), abs=1e-9
    )
    assert metrics.adjusted_mutual_information(predicted, target) == pytest.approx(
        sk.adjusted_mutual_info_score(t, p), abs=1e-9
    )
    assert metrics.v_measure(predicted, target) == pytest.approx(sk.v_measure_score(t, p), abs=1e-9)
    assert metrics.fowlkes_mallows_index(predicted, target) == pytest.approx(
        sk.fowlkes_mallows_score(t, p), abs=1e-9
    )


@pytest.mark.parametrize(
    "predicted, target",
    [
        ([0], [5]),
        ([0, 0, 0], [1, 1, 1]),
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([0, 1, 2, 3], [0, 0, 0, 0]),
        ([0, 1, 2, 3], [3, 1, 0, 2]),
        ([0, 0, 1, 1], [0, 1, 0, 1]),
        ([0] * 42, [0] * 20 + [1] * 10 + [2] * 6 + [3] * 6),
    ],
)
def test_degenerate_labellings_score_as_in_scikit_learn(
    predicted: list[int], target: list[int]
) -> None:
    p, t = torch.tensor(predicted), torch.tensor(target)
    for average in ("arithmetic", "geometric"):
        assert metrics.normalized_mutual_information(p, t, average) == pytest.approx(
            sk.normalized_mutual_info_score(target, predicted, average_method=average), abs=1e-9
        )
    for ours, theirs in (
        (metrics.adjusted_rand_index, sk.adjusted_rand_score),
        (metrics.adjusted_mutual_information, sk.adjusted_mutual_info_score),
        (metrics.v_measure, sk.v_measure_score),
        (metrics.fowlkes_mallows_index, sk.fowlkes_mallows_score),
    ):
        assert ours(p, t) == pytest.approx(theirs(target, predicted), abs=1e-9)


def test_no_samples_score_one_everywhere() -> None:
    for metric in (
        metrics.accuracy,
        metrics.purity,
        metrics.normalized_mutual_information,
        metrics.adjusted_rand_index,
        metrics.adjusted_mutual_information,
        metrics.v_measure,
        metrics.fowlkes_mallows_index,
    ):
        assert metric(NONE, NONE) == 1.0
    assert metrics.match(NONE, NONE) == {}
    assert metrics.confusion(NONE, NONE).counts.shape == (0, 0)


def test_imagenet_size_does_not_overflow() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (1_280_000,), generator=generator)
    predicted = torch.where(torch.rand(len(target), generator=generator) < 0.3, 0, target)
    assert metrics.adjusted_rand_index(predicted, target) == pytest.approx(
        sk.adjusted_rand_score(target.numpy(), predicted.numpy()), abs=1e-9
    )
    assert metrics.normalized_mutual_information(predicted, target) == pytest.approx(
        sk.normalized_mutual_info_score(target.numpy(), predicted.numpy()), abs=1e-9
    )


@settings(deadline=None)
@given(labellings(), st.randoms(use_true_random=False))
def test_metrics_do_not_depend_on_the_names_of_clusters(drawn, random) -> None:
    predicted, target = drawn
    names = list(range(200))
    random.shuffle(names)
    renamed = torch.tensor(names)[predicted + 2]
    assert metrics.accuracy(renamed, target) == metrics.accuracy(predicted, target)
    assert metrics.adjusted_rand_index(renamed, target) == metrics.adjusted_rand_index(
        predicted, target
    )


@settings(deadline=None)
@given(labellings())
def test_the_match_is_one_to_one_and_scores_the_accuracy(drawn: tuple[Tensor, Tensor]) -> None:
    predicted, target = drawn
    matched = metrics.match(predicted, target)
    clusters, classes = set(predicted.tolist()), set(target.tolist())
    assert len(set(matched.values())) == len(matched) == min(len(clusters), len(classes))
    right = sum(
        matched.get(cluster) == label
        for cluster, label in zip(predicted.tolist(), target.tolist(), strict=True)
    )
    assert right / len(target) == metrics.accuracy(predicted, target)


@settings(deadline=None)
@given(labellings())
def test_confusion_counts_every_pair_of_class_and_cluster(drawn: tuple[Tensor, Tensor]) -> None:
    predicted, target = drawn
    table = metrics.confusion(predicted, target)
    assert table.classes == tuple(sorted(set(target.tolist())))
    assert sorted(table.clusters) == sorted(set(predicted.tolist()))
    for row, label in enumerate(table.classes):
        for column, cluster in enumerate(table.clusters):
            count = int(((target == label) & (predicted == cluster)).sum())
            assert table.counts[row, column] == count


def test_confusion_puts_matched_clusters_on_the_diagonal_and_others_last() -> None:
    predicted = torch.tensor([5, 5, 5, 2, 2, 2, 2, 3])
    target = torch.tensor([0, 0, 1, 1, 1, 1, 0, 1])
    table = metrics.confusion(predicted, target)
    assert table.clusters == (5, 2, 3)
    assert table.counts.tolist() == [[2, 1, 0], [1, 3, 1]]
