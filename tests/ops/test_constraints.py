import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spice_cli.ops.constraints import completed, corrected, told, trust
from spice_cli.ops.spreading import graph


def blobs(seed: int = 0, groups: int = 3, each: int = 20) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    truth = torch.arange(groups).repeat_interleave(each)
    centers = F.normalize(torch.randn(groups, 16, generator=g), dim=1)
    noise = 0.08 * torch.randn(len(truth), 16, generator=g)
    return F.normalize(centers[truth] + noise, dim=1), truth


def test_trust_rises_with_the_rank_of_the_margin_alone() -> None:
    margin = torch.tensor([3.0, 1.0, 2.0])
    assert trust(margin, 2).argsort().tolist() == [1, 2, 0]
    assert torch.equal(trust(margin, 2), trust(margin.exp() * 100, 2))


def test_one_answer_moves_a_whole_mode() -> None:
    rows, truth = blobs()
    guess = torch.where(truth == 2, 1, truth)
    margin = torch.where(truth == 2, 0.1, 5.0)
    first = F.one_hot(guess, 3).float()
    links = graph(rows)
    before = completed(links, first, margin, told({}, first)).smooth.argmax(1)
    after = completed(links, first, margin, told({45: 2}, first)).smooth.argmax(1)
    assert torch.equal(before, guess)
    assert torch.equal(after, truth)


def test_none_of_these_leaves_what_the_guesses_say_of_the_others() -> None:
    guesses = torch.tensor([[0.5, 0.3, 0.2]])
    torch.testing.assert_close(told({0: (0,)}, guesses).targets, torch.tensor([[0.0, 0.6, 0.4]]))


def test_no_answers_are_empty_tensors() -> None:
    none = told({}, torch.zeros(5, 3))
    assert none.rows.shape == (0,)
    assert none.targets.shape == (0, 3)


def asked(seed: int, apart: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (n, 16), probabilities of few rows in many clusters that overlap, and margins."""
    g = torch.Generator().manual_seed(seed)
    n, clusters = 98, 12
    centers = torch.randn(clusters, 16, generator=g) * apart
    near = torch.randint(clusters, (n,), generator=g)
    rows = F.normalize(centers[near] + torch.randn(n, 16, generator=g), dim=1)
    now = (rows @ F.normalize(centers, dim=1).T / 0.1).softmax(1)
    top = now.topk(2, dim=1).values
    return rows, now, top[:, 0] - top[:, 1]


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    apart=st.floats(0.1, 3),
    answered=st.sets(st.integers(0, 97), min_size=1, max_size=40),
)
def test_answers_that_agree_change_nothing(seed: int, apart: float, answered: set[int]) -> None:
    rows, now, margin = asked(seed, apart)
    own = now.argmax(1)
    order = now.argsort(1, descending=True)
    said: dict[int, int | tuple[int, ...]] = {
        row: int(own[row]) if row % 2 else tuple(order[row, 1:4].tolist()) for row in answered
    }
    found = corrected(graph(rows), now, margin, told(said, now))
    assert torch.equal(found.argmax(1), own)
    torch.testing.assert_close(found, now)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    apart=st.floats(0.1, 3),
    answered=st.sets(st.integers(0, 97), min_size=1, max_size=3),
)
def test_a_few_answers_move_few_rows_and_only_from_and_to_what_they_name(
    seed: int, apart: float, answered: set[int]
) -> None:
    rows, now, margin = asked(seed, apart)
    own, second = now.topk(2, dim=1).indices.T
    said: dict[int, int | tuple[int, ...]] = {row: int(second[row]) for row in answered}
    found = corrected(graph(rows), now, margin, told(said, now)).argmax(1)
    moved = (found != own).nonzero()[:, 0]
    others = [row for row in moved.tolist() if row not in answered]
    left, into = {int(own[row]) for row in answered}, set(said.values())
    assert all(int(own[row]) in left or int(found[row]) in into for row in others)
    assert len(moved) <= 12 * len(answered)


def test_an_answer_moves_its_own_mode_and_no_other() -> None:
    rows, truth = blobs()
    now = F.one_hot(torch.where(truth == 2, 1, truth), 3).float() * 0.9 + 0.1 / 3
    margin = torch.where(truth == 2, 0.1, 5.0)
    found = corrected(graph(rows), now, margin, told({45: 2}, now)).argmax(1)
    assert torch.equal(found[truth < 2], truth[truth < 2])
    assert float((found[truth == 2] == 2).double().mean()) > 0.9


def test_the_fewer_rows_a_cluster_has_the_more_its_rows_are_trusted() -> None:
    assert float(trust(torch.arange(98.0), 12)[0]) == pytest.approx(6 / 98)
    assert float(trust(torch.arange(50_000.0), 10)[0]) == pytest.approx(1e-3)
