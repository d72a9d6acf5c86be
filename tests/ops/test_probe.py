import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from spice_cli.ops.probe import (
    knn_accuracy,
    leave_one_out,
    neighbor_purity,
    purity_without_itself,
)


def points(n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    return x, torch.randint(4, (n,), generator=generator) * 5 - 3


def slow_guess(bank: Tensor, bank_y: Tensor, query: Tensor, k: int, temperature: float) -> int:
    similar = F.cosine_similarity(bank.double(), query.double()[None]).tolist()
    votes: dict[int, float] = {}
    for i in sorted(range(len(bank)), key=lambda i: -similar[i])[:k]:
        label = int(bank_y[i])
        votes[label] = votes.get(label, 0.0) + math.exp(similar[i] / temperature)
    return max(votes, key=lambda label: votes[label])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 25), st.integers(1, 30), st.sampled_from([0.07, 1.0]), st.integers(0, 10**6))
def test_votes_equal_a_slow_loop(n: int, k: int, temperature: float, seed: int) -> None:
    (x, y), (queries, truth) = points(n, seed), points(9, seed + 1)
    right = [
        slow_guess(x, y, query, k, temperature) == label
        for query, label in zip(queries, truth.tolist(), strict=True)
    ]
    assert knn_accuracy(x, y, queries, truth, k=k, temperature=temperature) == pytest.approx(
        sum(right) / 9
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(1, 30), st.integers(0, 10**6))
def test_leave_one_out_never_asks_a_sample_about_itself(n: int, k: int, seed: int) -> None:
    x, y = points(n, seed)
    right = 0
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        right += slow_guess(x[rest], y[rest], x[i], k, 0.07) == int(y[i])
    assert leave_one_out(x, y, k=k) == pytest.approx(right / n)


def test_agrees_with_scikit_learn_on_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spice_cli.ops.neighbors.BLOCK_BYTES", 2**20)
    x, y = (torch.tensor(v) for v in load_digits(return_X_y=True))
    oracle = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp(-d / 0.07)
    ).fit(x[:1000], y[:1000])
    expected = oracle.score(x[1000:], y[1000:])
    found = knn_accuracy(x[:1000], y[:1000], x[1000:], y[1000:])
    assert found == pytest.approx(expected, abs=2 / 797)
    assert leave_one_out(x, y) > 0.97


def test_one_sample_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="at least two samples"):
        leave_one_out(*points(1, 0))
    with pytest.raises(ValueError, match="at least two samples"):
        purity_without_itself(*points(1, 0))


def slow_purity(bank: Tensor, bank_y: Tensor, query: Tensor, label: int, k: int) -> float:
    similar = F.cosine_similarity(bank.double(), query.double()[None]).tolist()
    near = sorted(range(len(bank)), key=lambda i: -similar[i])[:k]
    return sum(int(bank_y[i]) == label for i in near) / len(near)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 25), st.integers(1, 30), st.integers(0, 10**6))
def test_purity_is_the_mean_share_of_neighbours_of_the_class(n: int, k: int, seed: int) -> None:
    (x, y), (queries, truth) = points(n, seed), points(9, seed + 1)
    across = [slow_purity(x, y, q, int(t), k) for q, t in zip(queries, truth, strict=True)]
    assert neighbor_purity(x, y, queries, truth, k=k) == pytest.approx(sum(across) / 9)
    within = []
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        within.append(slow_purity(x[rest], y[rest], x[i], int(y[i]), k))
    assert purity_without_itself(x, y, k=k) == pytest.approx(sum(within) / n)
