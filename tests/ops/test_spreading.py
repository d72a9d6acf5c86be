import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.spreading import graph, spread


def rows_of(seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    centers = torch.randn(3, 16, generator=g).repeat_interleave(20, 0)
    return F.normalize(centers + 0.3 * torch.randn(60, 16, generator=g), dim=1)


def test_the_graph_is_symmetric_without_loops_and_no_eigenvalue_is_beyond_one() -> None:
    dense = graph(rows_of()).affinity.to_dense()
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
    links = graph(rows_of())
    weight, given = torch.rand(60) + 0.01, torch.rand(60, 4)
    system = torch.eye(60) - links.affinity.to_dense() + weight.diag()
    expected = torch.linalg.solve(system, weight[:, None] * given)
    torch.testing.assert_close(spread(links, weight, given), expected, atol=1e-3, rtol=1e-3)
    again = spread(links, weight, given, start=expected)
    torch.testing.assert_close(again, expected, atol=1e-3, rtol=1e-3)
