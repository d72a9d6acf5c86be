import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.constraints import completed, graph, spread, told, trust


def blobs(seed: int = 0, groups: int = 3, each: int = 20) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    truth = torch.arange(groups).repeat_interleave(each)
    centers = F.normalize(torch.randn(groups, 16, generator=g), dim=1)
    noise = 0.08 * torch.randn(len(truth), 16, generator=g)
    return F.normalize(centers[truth] + noise, dim=1), truth


def test_the_graph_is_symmetric_without_loops_and_no_eigenvalue_is_beyond_one() -> None:
    dense = graph(blobs()[0]).affinity.to_dense()
    assert torch.equal(dense, dense.T)
    assert bool((dense.diagonal() == 0).all())
    assert float(torch.linalg.eigvalsh(dense).abs().max()) <= 1 + 1e-5


@pytest.mark.parametrize("n", [2, 3])
def test_fewer_rows_than_neighbours_are_all_linked(n: int) -> None:
    dense = graph(F.normalize(torch.randn(n, 3), dim=1)).affinity.to_dense()
    assert int((dense > 0).sum()) == n * (n - 1)


def test_equal_rows_make_a_finite_graph() -> None:
    assert bool(graph(torch.ones(30, 1)).affinity.values().isfinite().all())


def test_spread_solves_the_dense_system() -> None:
    rows, _ = blobs()
    links = graph(rows)
    weight, given = torch.rand(60) + 0.01, torch.rand(60, 4)
    system = torch.eye(60) - links.affinity.to_dense() + weight.diag()
    expected = torch.linalg.solve(system, weight[:, None] * given)
    torch.testing.assert_close(spread(links, weight, given), expected, atol=1e-3, rtol=1e-3)
    again = spread(links, weight, given, start=expected)
    torch.testing.assert_close(again, expected, atol=1e-3, rtol=1e-3)


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
    before = completed(links, first, margin, told({}, first)).probs.argmax(1)
    after = completed(links, first, margin, told({45: 2}, first)).probs.argmax(1)
    assert torch.equal(before, guess)
    assert torch.equal(after, truth)


def test_none_of_these_leaves_what_the_guesses_say_of_the_others() -> None:
    guesses = torch.tensor([[0.5, 0.3, 0.2]])
    torch.testing.assert_close(told({0: (0,)}, guesses).targets, torch.tensor([[0.0, 0.6, 0.4]]))


def test_no_answers_are_empty_tensors() -> None:
    none = told({}, torch.zeros(5, 3))
    assert none.rows.shape == (0,)
    assert none.targets.shape == (0, 3)
