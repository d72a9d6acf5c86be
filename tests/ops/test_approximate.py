import sys
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.approximate import TARGET, approximate, recall
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.search import Search, gathered


def blobs(n: int, d: int, clusters: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(clusters, d, generator=generator)
    noise = torch.randn(n, d, generator=generator)
    return F.normalize(centres[torch.arange(n) % clusters] + noise)


X = blobs(3000, 16, 10)


def build(index: Literal["ivf", "hnsw"], x: Tensor, k: int) -> Search:
    pytest.importorskip("faiss")
    return approximate(x, k, index, torch.Generator().manual_seed(0))[0]


def found(index: Literal["ivf", "hnsw"], x: Tensor, k: int, rows: Tensor | None = None) -> Tensor:
    return gathered(build(index, x, k), torch.arange(len(x)) if rows is None else rows, k)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_most_neighbours_are_found_and_stand_in_the_order_of_the_exact_ones(index: str) -> None:
    ours, exact = found(index, X, 20), nearest(X, 20)
    assert torch.equal(ours[:, 0], torch.arange(3000))
    assert recall(ours, exact) > 0.95
    whole = (ours.sort(1).values == exact.sort(1).values).all(1)
    assert whole.float().mean() > 0.5
    assert torch.equal(ours[whole], exact[whole])


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
@pytest.mark.parametrize("rows", [X[:30], X[:1].repeat(300, 1), torch.eye(50)])
def test_every_row_has_as_many_distinct_neighbours_as_asked_for(index: str, rows: Tensor) -> None:
    for k in (2, 25):
        ours = found(index, rows, k)
        assert torch.equal(ours[:, 0], torch.arange(len(rows)))
        assert all(len(set(row)) == k for row in ours.tolist())


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_rows_asked_about_alone_have_the_neighbours_that_they_have_among_all(index: str) -> None:
    rows = torch.tensor([2999, 0, 17])
    search = build(index, X, 9)
    assert torch.equal(gathered(search, rows, 9), gathered(search, torch.arange(3000), 9)[rows])


def test_cells_give_the_same_bits_again() -> None:
    assert torch.equal(found("ivf", X, 10), found("ivf", X, 10))


def test_it_looks_at_more_cells_until_a_sample_has_its_neighbours() -> None:
    noise = F.normalize(torch.randn(4000, 64, generator=torch.Generator().manual_seed(0)))
    search, width = approximate(noise, 10, "ivf", torch.Generator().manual_seed(0))
    assert 8 < width <= 4000 // 39
    rows = torch.arange(0, 4000, 9)
    assert recall(gathered(search, rows, 10), nearest(noise, 10, rows=rows)) > TARGET - 0.02


def test_recall_counts_the_neighbours_that_were_found_and_not_the_row_itself() -> None:
    exact = torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert recall(exact, exact) == 1
    assert recall(torch.tensor([[0, 2, 1], [1, 0, 3]]), exact) == 0.75
    assert recall(torch.tensor([[0, 3, 4], [1, 3, 4]]), exact) == 0


def test_without_faiss_importing_fails_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError):
        approximate(X, 2, "hnsw", torch.Generator())
