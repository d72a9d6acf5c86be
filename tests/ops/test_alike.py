import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.alike import alike


def rows(n: int = 100) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(n, 16, generator=g), dim=1)


def close_to(x: Tensor) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return F.normalize(x + 0.02 * torch.randn(x.shape, generator=g), dim=1)


def test_different_rows_are_not_alike() -> None:
    assert [len(each) for each in alike(rows(), 10)] == [0, 0]


def test_a_copy_is_paired_with_the_earlier_row() -> None:
    x = rows()
    found, shared = alike(torch.cat([x, close_to(x[[7, 3]])]))
    assert found.tolist() == [[7, 100], [3, 101]]
    assert not len(shared)


def test_copies_among_the_test_rows_are_shared() -> None:
    x = rows()
    everything = torch.cat([x, close_to(x[[7]]), close_to(x[[99]])])
    assert alike(everything, 3)[1].tolist() == [[7, 100]]


def test_rows_that_are_all_the_same_or_few_have_no_pairs() -> None:
    assert not len(alike(rows(1).expand(50, -1))[0])
    assert not len(alike(rows(11))[0])
