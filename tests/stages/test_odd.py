import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.stages import odd as module
from spice_cli.stages.odd import odd


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def blobs(n: int = 60) -> Tensor:
    centers = torch.eye(8)[torch.arange(n) % 3]
    return F.normalize(centers + 0.1 * torch.randn(n, 8, generator=generator()))


def pictures(n: int = 60) -> Tensor:
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator())


def test_copies_are_found_once_and_outliers_first() -> None:
    x, images = blobs(), pictures()
    x[33], images[33] = x[3], images[3]
    x[50] = F.one_hot(torch.tensor(7), 8).float()
    found = odd(x, images, generator())
    assert [(a, b) for a, b, _ in found.alike] == [(3, 33)]
    assert found.alike[0][2] == pytest.approx(1, abs=1e-6)
    assert found.alone[0][0] == 50
    cosines = [cosine for _, cosine in found.alone]
    assert cosines == sorted(cosines)
    assert found.compared == 60


def test_alike_to_the_network_is_not_enough_where_pixels_differ() -> None:
    x = blobs()
    x[33] = x[3]
    assert odd(x, pictures(), generator()).alike == []
    assert [(a, b) for a, b, _ in odd(x, None, generator()).alike] == [(3, 33)]


def test_copies_of_one_colour_are_found() -> None:
    x, images = blobs(), pictures()
    x[33] = x[3]
    images[3] = images[33] = 90
    assert [(a, b) for a, b, _ in odd(x, images, generator()).alike] == [(3, 33)]


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_images_are_compared_with_each_other(n: int) -> None:
    found = odd(blobs(n), pictures(n), generator())
    assert found.compared == n
    assert len(found.alone) == n // 4


def test_of_many_rows_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 40)
    x = blobs()
    found = odd(x, None, generator())
    assert found.compared == 40
    assert {row for row, _ in found.alone} <= set(range(60))
