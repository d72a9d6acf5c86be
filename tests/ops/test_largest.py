import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spice_cli.ops.largest import group_size, largest, peaks, top

scores = st.sampled_from([-torch.inf, -2.5, -1.0, -0.0, 0.0, 1e-40, 0.25, 3.0, torch.inf])


@settings(deadline=None)
@given(st.lists(scores, min_size=1, max_size=20), st.data())
def test_top_equals_a_stable_descending_sort(drawn: list[float], data) -> None:
    x = torch.tensor([drawn, drawn[::-1]])
    k = data.draw(st.integers(1, len(drawn)))
    expected = torch.sort(x, dim=1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(top(x, k), expected)


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([8, 24, 64]),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 10**6),
)
def test_the_largest_are_found_whatever_the_tiles_and_groups(
    k: int, tiles: int, width: int, size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-9, 9, (tiles, 3, width), generator=generator).bfloat16()
    k = min(k, tiles * width // size)
    found, index = largest(drawn, torch.stack([peaks(tile, size) for tile in drawn]), k)
    scores = drawn.transpose(0, 1).reshape(3, -1)
    expected = scores.sort(1, descending=True).values[:, :k]
    assert torch.equal(found, expected)
    assert torch.equal(scores.gather(1, index), expected)
    assert all(len(set(row)) == k for row in index.tolist())


@given(st.integers(1, 1000), st.integers(64, 10**7))
def test_there_are_no_fewer_groups_than_are_looked_for(k: int, width: int) -> None:
    assert group_size(k, width) == 1 or width // group_size(k, width) >= k
