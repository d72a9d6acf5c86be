import pytest
import torch

from spice_cli.ops import draw as module
from spice_cli.ops.draw import CATEGORIES, draw, weighted


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_rows_are_those_of_a_permutation() -> None:
    assert draw(1000, 50, generator()).equal(torch.randperm(1000, generator=generator())[:50])
    assert draw(7, 9, generator()).sort().values.tolist() == list(range(7))


def test_few_of_very_many_are_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 999)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: pytest.fail("all rows were permuted"))
    found = torch.cat([draw(1000, 9, seeded) for seeded in [generator()] for _ in range(3000)])
    counts = found.bincount(minlength=1000)
    assert len(counts) == 1000
    assert counts.float().mean() == 27
    assert 20 < counts.float().var() < 35  # that of independent draws is 27
    assert counts.min() > 5


def test_a_large_share_is_drawn_without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 999)
    assert len(draw(1000, 10, generator()).unique()) == 10


def test_of_few_rows_the_weighted_ones_are_those_of_torch() -> None:
    weights = torch.rand(50, generator=generator())
    expected = torch.multinomial(weights, 80, replacement=True, generator=generator())
    assert weighted(weights, 80, generator()).equal(expected)


def test_many_rows_are_drawn_in_proportion_to_their_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CATEGORIES", 3)
    weights = torch.tensor([0.0, 1.0, 0.0, 2.0, 5.0, 0.0])
    found = weighted(weights, 40_000, generator())
    assert found.dtype == torch.int64
    shares = found.bincount(minlength=6) / 40_000
    torch.testing.assert_close(shares, weights / 8, atol=0.01, rtol=0)
    assert shares[weights == 0].sum() == 0
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.ones(2, dtype=torch.float64))
    assert weighted(weights, 2, generator()).tolist() == [4, 4]


def test_more_rows_than_torch_takes_can_be_drawn_from() -> None:
    weights = torch.zeros(CATEGORIES + 5)
    weights[[7, -2]] = torch.tensor([1.0, 3.0])
    found = weighted(weights, 4000, generator())
    assert set(found.tolist()) == {7, CATEGORIES + 3}
    assert 0.7 < (found > 7).float().mean() < 0.8
