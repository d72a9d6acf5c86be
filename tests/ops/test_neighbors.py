import faiss
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spice_cli.ops import neighbors
from spice_cli.ops.neighbors import nearest, nearest_of, tell_nearest


def integers(n: int, d: int, seed: int, largest: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-largest, largest + 1, (n, d), generator=generator).float()


def slow_nearest(x: Tensor, k: int) -> list[list[int]]:
    rows = x.tolist()
    found = []
    for i, a in enumerate(rows):
        similar = [sum(p * q for p, q in zip(a, b, strict=True)) for b in rows]
        others = sorted((j for j in range(len(rows)) if j != i), key=lambda j: (-similar[j], j))
        found.append([i, *others][:k])
    return found


@settings(deadline=None)
@given(st.integers(1, 25), st.integers(1, 4), st.integers(0, 10**6), st.data())
def test_equals_a_slow_loop_with_ties_and_duplicates(n: int, d: int, seed: int, data) -> None:
    x = integers(n, d, seed)
    k, block = data.draw(st.integers(1, n)), data.draw(st.none() | st.integers(1, n))
    assert nearest(x, k, block=block).tolist() == slow_nearest(x, k)


def test_equal_rows_are_neighbours_in_index_order() -> None:
    assert nearest(torch.ones(5, 3), 3).tolist() == [
        [0, 1, 2],
        [1, 0, 2],
        [2, 0, 1],
        [3, 0, 1],
        [4, 0, 1],
    ]


def test_equals_faiss_on_random_unit_rows() -> None:
    x = F.normalize(torch.randn(700, 32, generator=torch.Generator().manual_seed(0)))
    index = faiss.IndexFlatIP(32)
    index.add(x.numpy())
    similarity, found = index.search(x.numpy(), 20)
    ours = nearest(x, 20, block=128)
    ours_similarity = torch.einsum("nd,nkd->nk", x, x[ours])
    torch.testing.assert_close(ours_similarity, torch.from_numpy(similarity), atol=1e-5, rtol=0)
    assert (ours == torch.from_numpy(found)).float().mean() > 0.999


def test_itself_comes_first_even_where_a_longer_row_is_more_similar() -> None:
    assert nearest(torch.tensor([[1.0], [9.0]]), 2).tolist() == [[0, 1], [1, 0]]


def test_progress_counts_every_row_once() -> None:
    done: list[int] = []
    nearest(integers(10, 2, 0), 2, block=4, progress=done.append)
    assert done == [4, 4, 2]


def oracle(x: Tensor, k: int) -> Tensor:
    scores = (x.double() @ x.double().T).float().fill_diagonal_(torch.inf)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :k]


def lengths(n: int) -> Tensor:
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(1)).exp()


UNIT = F.normalize(torch.randn(900, 40, generator=torch.Generator().manual_seed(0)))
ROWS = {
    "unit": UNIT,
    "around a centre": F.normalize(UNIT + 3),
    "of all lengths": UNIT * lengths(900),
    "tiny": UNIT * 1e-21,
    "huge": UNIT * 1e18,
    "huge and tiny": UNIT * lengths(900) ** 12,
    "two thirds twins": UNIT[torch.arange(900) % 300],
    "thirty of each": UNIT[torch.arange(900) % 30],
    "integers": integers(900, 6, 0),
    "collapsed": F.normalize(UNIT * 1e-3 + 1),
    "all the same": UNIT[:1].expand(900, -1),
    "nothing": torch.zeros(900, 4),
}


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_equals_products_in_float64_on_rows_of_any_kind(
    rows: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbors, "multiplies_bf16", lambda device: bf16)
    done: list[int] = []
    found = nearest(ROWS[rows], 4, block=256, progress=done.append)
    assert torch.equal(found, oracle(ROWS[rows], 4))
    assert sum(done) == 900


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize(
    ("rows", "compared"), [("unit", 0), ("around a centre", 0), ("all the same", 900)]
)
def test_only_rows_without_proof_are_compared_in_float64(
    rows: str, compared: int, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def spy(x: Tensor, rows: Tensor, k: int, **how: object) -> Tensor:
        seen.append(len(rows))
        return nearest_of(x, rows, k)

    monkeypatch.setattr(neighbors, "multiplies_bf16", lambda device: bf16)
    monkeypatch.setattr(neighbors, "nearest_of", spy)
    nearest(ROWS[rows], 4)
    assert seen == [compared]


@pytest.mark.parametrize("block", [1, 100, 899, 5000])
def test_blocks_do_not_change_the_result(block: int) -> None:
    assert torch.equal(nearest(UNIT, 4, block=block), oracle(UNIT, 4))


def test_some_rows_have_the_neighbours_that_they_have_among_all() -> None:
    rows = torch.tensor([5, 0, 899, 5])
    assert torch.equal(nearest_of(UNIT, rows, 7), oracle(UNIT, 7)[rows])


def test_some_rows_are_asked_about_and_told_once_each_where_they_stand() -> None:
    rows = torch.tensor([5, 0, 899, 7])
    assert torch.equal(nearest(UNIT, 4, rows=rows, block=3), oracle(UNIT, 4)[rows])
    told: list[int] = []
    tell_nearest(ROWS["two thirds twins"], 4, lambda at, found: told.extend(at.tolist()), block=99)
    assert sorted(told) == list(range(900))


def test_the_nearest_of_one_is_itself() -> None:
    assert nearest(UNIT, 1).squeeze(1).tolist() == list(range(900))


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_rows_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k must be within 1 and 3"):
        nearest(torch.eye(3), k)
