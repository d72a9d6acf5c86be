import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("faiss")

from spice_cli.ops.approximate import nearly_nearest, recall
from spice_cli.ops.neighbors import nearest


def blobs(n: int, d: int, clusters: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(clusters, d, generator=generator)
    noise = torch.randn(n, d, generator=generator)
    return F.normalize(centres[torch.arange(n) % clusters] + noise)


X = blobs(3000, 16, 10)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_most_neighbours_are_found_and_stand_in_the_order_of_the_exact_ones(index: str) -> None:
    done: list[int] = []
    found, exact = nearly_nearest(X, 20, index, progress=done.append), nearest(X, 20)
    assert sum(done) == len(X)
    assert torch.equal(found[:, 0], torch.arange(3000))
    assert recall(found, exact) > 0.95
    whole = (found.sort(1).values == exact.sort(1).values).all(1)
    assert whole.float().mean() > 0.5
    assert torch.equal(found[whole], exact[whole])


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
@pytest.mark.parametrize("rows", [X[:30], X[:1].expand(300, -1), torch.eye(50)])
def test_every_row_has_as_many_distinct_neighbours_as_asked_for(index: str, rows: Tensor) -> None:
    for k in (1, 25):
        found = nearly_nearest(rows, k, index)
        assert torch.equal(found[:, 0], torch.arange(len(rows)))
        assert all(len(set(row)) == k for row in found.tolist())


def test_cells_give_the_same_bits_again() -> None:
    assert torch.equal(nearly_nearest(X, 10, "ivf"), nearly_nearest(X, 10, "ivf"))


def test_recall_counts_the_neighbours_that_were_found_and_not_the_row_itself() -> None:
    exact = torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert recall(exact, exact) == 1
    assert recall(torch.tensor([[0, 2, 1], [1, 0, 3]]), exact) == 0.75
    assert recall(torch.tensor([[0, 3, 4], [1, 3, 4]]), exact) == 0


def test_without_faiss_importing_fails_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError):
        nearly_nearest(X, 2, "ivf")
