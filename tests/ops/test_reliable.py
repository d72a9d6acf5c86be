from decimal import Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spice_cli.ops.neighbors import nearest
from spice_cli.ops.reliable import Reliable, agreeing, counts, select
from spice_cli.ops.reliable import locally_consistent as judge

PAPER = {"agreement": 0.95, "strict": True, "confidence": 0.0, "balance": "none"}
CODE = {"agreement": 0.99, "strict": False, "confidence": 0.99, "balance": "smallest"}


def locally_consistent(
    neighbors: Tensor, probs: Tensor, *, agreement: float, strict: bool, confidence: float, **rest
) -> Reliable:
    agree = agreeing(neighbors, probs.argmax(1))
    verdict = judge(
        agree,
        neighbors.shape[1],
        probs,
        agreement=agreement,
        strict=strict,
        confidence=confidence,
    )
    return select(verdict, probs, **rest)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def sample(n: int, v: int, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Neighbours of random points, and probabilities of few values: full of ties."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(-2, 3, (n, 2), generator=generator).float()
    probs = torch.randint(0, 5, (n, k), generator=generator).float() / 4
    return nearest(points, v), probs


def slow_kept(
    neighbors: Tensor,
    probs: Tensor,
    agreement: float,
    strict: bool,
    confidence: float,
    least: int,
) -> tuple[list[int], list[int], list[int]]:
    """The description, one sample at a time, before clusters are balanced."""
    rows, near = probs.tolist(), neighbors.tolist()
    label = [row.index(max(row)) for row in rows]
    agreeing = [sum(label[j] == label[js[0]] for j in js) for js in near]
    needed = Decimal(str(agreement)) * len(near[0])
    kept = {
        i
        for i, row in enumerate(rows)
        if (agreeing[i] > needed if strict else agreeing[i] >= needed) and max(row) > confidence
    }
    for cluster in range(probs.shape[1]):
        members = [i for i in range(len(rows)) if label[i] == cluster]
        if sum(i in kept for i in members) < least:
            kept -= set(members)
            members.sort(key=lambda i: (-agreeing[i], -max(rows[i]), i))
            kept |= set(members[:least])
    return sorted(kept), label, agreeing


def check(found: Reliable, kept: list[int], label: list[int], agreeing: list[int], v: int) -> None:
    assert found.label.tolist() == [label[i] for i in found.index.tolist()]
    torch.testing.assert_close(found.consistency, torch.tensor(agreeing) / v)
    assert found.index.tolist() == kept


@settings(deadline=None)
@given(
    st.integers(2, 30),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.29, 0.5, 0.57, 0.95, 0.99, 1.0]),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 0.99]),
    st.integers(0, 4),
    st.integers(0, 10**6),
)
def test_equals_a_slow_loop_with_ties(
    n: int, k: int, agreement: float, strict: bool, confidence: float, least: int, seed: int
) -> None:
    v = min(n, 7)
    neighbors, probs = sample(n, v, k, seed)
    kept, label, agreeing = slow_kept(neighbors, probs, agreement, strict, confidence, least)
    settings_ = {
        "agreement": agreement,
        "strict": strict,
        "confidence": confidence,
        "min_per_cluster": least,
        "generator": seeded(),
    }
    found = locally_consistent(neighbors, probs, balance="none", **settings_)
    check(found, kept, label, agreeing, v)
    balanced = locally_consistent(neighbors, probs, balance="smallest", **settings_)
    sizes = [sum(label[i] == c for i in kept) for c in range(k)]
    smallest = min((size for size in sizes if size), default=0)
    assert counts(balanced.label, k).tolist() == [min(size, smallest) for size in sizes]
    assert set(balanced.index.tolist()) <= set(kept)
    assert balanced.index.tolist() == sorted(balanced.index.tolist())


def hundred(agreeing: int) -> tuple[Tensor, Tensor]:
    """Sample 0 has so many of a hundred neighbours on its side, itself first."""
    label = torch.tensor([0] * agreeing + [1] * (100 - agreeing))
    neighbors = torch.arange(100).expand(100, 100)
    return neighbors, torch.nn.functional.one_hot(label, 2).float()


@pytest.mark.parametrize(
    "settings_, least",
    [(PAPER, 96), ({**CODE, "balance": "none"}, 99), ({**PAPER, "agreement": 0.57}, 58)],
)
def test_the_share_of_a_hundred_is_compared_exactly(settings_: dict, least: int) -> None:
    for count, kept in ((least - 1, False), (least, True)):
        neighbors, probs = hundred(count)
        found = locally_consistent(
            neighbors, probs, min_per_cluster=0, generator=seeded(), **settings_
        )
        assert (0 in found.index.tolist()) is kept


@pytest.mark.parametrize("settings_", [PAPER, CODE])
def test_a_mislabelled_sample_is_unreliable_and_its_neighbours_are_not(settings_: dict) -> None:
    points = torch.eye(2).repeat(120, 1)
    label = torch.arange(240) % 2
    label[0] = 1
    found = locally_consistent(
        nearest(points, 100),
        torch.nn.functional.one_hot(label, 2).float(),
        min_per_cluster=0,
        generator=seeded(),
        **settings_,
    )
    assert 0 not in found.index.tolist()
    assert counts(found.label, 2).min() == 119


def test_balancing_depends_on_nothing_but_the_generator() -> None:
    neighbors, probs = sample(30, 5, 3, 0)
    settings_ = {**CODE, "agreement": 0.2, "confidence": 0.0, "min_per_cluster": 0}
    first, same = (
        locally_consistent(neighbors, probs, generator=seeded(), **settings_) for _ in range(2)
    )
    assert torch.equal(first.index, same.index)
    other = [
        locally_consistent(
            neighbors, probs, generator=torch.Generator().manual_seed(seed), **settings_
        ).index.tolist()
        for seed in range(1, 9)
    ]
    assert any(index != first.index.tolist() for index in other)


def test_balancing_takes_every_member_equally_often() -> None:
    label = torch.tensor([0, 0, 1, 0, 0])
    probs = torch.nn.functional.one_hot(label, 2).float()
    generator, seen = seeded(), torch.zeros(5)
    for _ in range(400):
        found = locally_consistent(
            torch.arange(5)[:, None],
            probs,
            min_per_cluster=0,
            generator=generator,
            **CODE,
        )
        seen[found.index] += 1
    assert seen[2] == 400
    assert (seen[[0, 1, 3, 4]] - 100).abs().max() < 40


def test_a_cluster_without_members_stays_empty_and_does_not_empty_the_others() -> None:
    probs = torch.nn.functional.one_hot(torch.tensor([0, 0, 2]), 3).float()
    found = locally_consistent(
        torch.arange(3)[:, None], probs, min_per_cluster=2, generator=seeded(), **CODE
    )
    assert counts(found.label, 3).tolist() == [1, 0, 1]


def test_nothing_reliable_is_an_empty_result() -> None:
    neighbors, probs = sample(12, 4, 3, 0)
    found = locally_consistent(neighbors, probs / 9, min_per_cluster=0, generator=seeded(), **CODE)
    assert found.index.shape == found.label.shape == (0,)
    assert found.index.dtype == found.label.dtype == torch.int64
    assert counts(found.label, 3).tolist() == [0, 0, 0]


def test_those_that_agree_count_the_sample_itself() -> None:
    labels = torch.tensor([0, 0, 1])
    neighbors = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
    assert agreeing(neighbors, labels).tolist() == [2, 2, 1]
