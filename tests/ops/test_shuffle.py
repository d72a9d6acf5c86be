import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spice_cli.ops.shuffle import shuffled, window_of


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_fits_is_shuffled_as_it_always_was() -> None:
    assert torch.equal(shuffled(50, seeded()), torch.randperm(50, generator=seeded()))
    assert torch.equal(shuffled(50, seeded(), window=50, block=7), shuffled(50, seeded()))


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 100), st.integers(1, 12))
def test_every_row_comes_once_and_a_block_within_a_window(
    rows: int, window: int, block: int
) -> None:
    order = shuffled(rows, seeded(), window=window, block=block).tolist()
    assert sorted(order) == list(range(rows))
    place = {row: at for at, row in enumerate(order)}
    for start in range(0, rows if window < rows else 0, block):
        inside = [place[row] for row in range(start, min(start + block, rows))]
        assert max(inside) - min(inside) < max(window, block)


def test_rows_within_a_window_and_windows_change_places() -> None:
    order = shuffled(1000, seeded(), window=100, block=10)
    first = order[:100]
    assert len({row // 10 for row in first.tolist()}) == 10
    assert first.tolist() != sorted(first.tolist())
    assert first.max() - first.min() > 500
    assert not torch.equal(order, shuffled(1000, torch.Generator().manual_seed(1), window=100))


@pytest.mark.parametrize(("memory", "window"), [(800, 0), (799, 19), (100, 2), (1, 1)])
def test_only_what_takes_more_than_half_of_memory_has_a_window(memory: int, window: int) -> None:
    pixels = torch.zeros(40, 10, dtype=torch.uint8)
    assert window_of(pixels, memory)[0] == window
