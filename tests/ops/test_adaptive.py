import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch import Tensor

from spice_cli.ops.adaptive import adaptively_consistent as judge
from spice_cli.ops.adaptive import least_majorities, neighborhood
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.reliable import Verdict


def adaptively_consistent(neighbors: Tensor, probs: Tensor) -> Verdict:
    return judge(neighborhood(neighbors, probs.argmax(1)), neighbors.shape[1])


def slow_least(votes: int, tries: int) -> int:
    """Try every number of agreeing votes, from a bare majority on."""
    for agreeing in range(votes // 2 + 1, votes + 1):
        ways = sum(math.comb(votes, heads) for heads in range(agreeing, votes + 1))
        if Fraction(ways, 2**votes) <= Fraction(1, tries):
            return agreeing
    return votes + 1


def slow(neighbors: Tensor, probs: Tensor) -> tuple[list[bool], list[float], list[int]]:
    """The description, one sample and one neighbourhood at a time."""
    label = probs.argmax(1).tolist()
    n, v = neighbors.shape
    kept, share, sizes = [], [], []
    for row in neighbors.tolist():
        own, size = label[row[0]], 0
        for j in range(1, v):
            agreeing = sum(label[other] == own for other in row[1 : j + 1])
            if agreeing >= slow_least(j, n * (v - 1)):
                size = j
        kept.append(size > 0)
        members = row[: (size or v - 1) + 1]
        share.append(sum(label[other] == own for other in members) / len(members))
        sizes.append(size)
    return kept, share, sizes


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.integers(2, 20), st.integers(2, 4), st.integers(0, 10**6))
def test_equals_a_slow_loop(n: int, v: int, k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(n, 2, generator=generator)
    angle = points[:, :1] + torch.arange(k) / 2 + torch.randn(n, k, generator=generator) / 3
    neighbors = nearest(torch.nn.functional.normalize(points), min(n, v))
    found = adaptively_consistent(neighbors, angle.softmax(1))
    kept, share, sizes = slow(neighbors, angle.softmax(1))
    assert found.kept.tolist() == kept
    assert found.consistency.dtype == torch.float32
    assert found.consistency.tolist() == pytest.approx(share)
    mean = sum(sizes) / max(1, sum(kept))
    assert found.notes["neighborhood"] == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("images", [100, 1797, 60_000, 1_281_167])
def test_thresholds_are_those_of_the_exact_binomial_test(images: int) -> None:
    level = 1 / (images * 49)
    for votes, least in enumerate(least_majorities(49, images), 1):
        assert binom.sf(least - 1, votes, 0.5) <= level or least == votes + 1
        assert binom.sf(least - 2, votes, 0.5) > level


def test_larger_neighbourhoods_need_a_smaller_majority() -> None:
    shares = [least / votes for votes, least in enumerate(least_majorities(49, 60_000), 1)]
    assert shares[20] > 1
    assert shares[21] == 1  # 22 of 22: 2^-22 is the first power of a half below 1 / (60,000 * 49)
    assert 0.8 < shares[48] < 0.86


def test_labels_by_chance_are_almost_never_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    neighbors = nearest(torch.randn(2000, 8, generator=generator), 50)
    for _ in range(5):
        coin = torch.randint(2, (2000,), generator=generator)
        probs = torch.nn.functional.one_hot(coin, 2).float()
        assert int(adaptively_consistent(neighbors, probs).kept.sum()) <= 2


def test_a_pure_cluster_smaller_than_the_largest_neighbourhood_is_kept() -> None:
    far = torch.tensor([[0.0, 1.0]]).repeat(400, 1) + torch.randn(400, 2) / 100
    near = torch.tensor([[1.0, 0.0]]).repeat(30, 1) + torch.randn(30, 2) / 100
    label = torch.tensor([0] * 400 + [1] * 30)
    neighbors = nearest(torch.nn.functional.normalize(torch.cat([far, near])), 50)
    found = adaptively_consistent(neighbors, torch.nn.functional.one_hot(label).float())
    assert bool(found.kept.all())
    assert found.consistency[400:].min() > 0.8  # it grows beyond them while it holds
