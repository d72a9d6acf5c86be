import pytest
import torch

from spice_cli.ops import draw as module
from spice_cli.ops.draw import draw


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
