import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.doubles import doubles, plain, signatures


def pictures(count: int, side: int = 32) -> Tensor:
    """Smooth random images, as different from each other as photographs."""
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=g)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (255 * smooth).to(torch.uint8)


def noisy(images: Tensor, levels: int = 6) -> Tensor:
    g = torch.Generator().manual_seed(1)
    noise = torch.randint(-levels, levels + 1, images.shape, generator=g)
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


def test_different_images_are_no_doubles() -> None:
    found = doubles(pictures(200), test=50)
    assert [len(x) for x in (found.exact, found.near, found.turned, found.shared)] == [0] * 4


def test_copies_are_paired_with_the_first() -> None:
    x = pictures(5)
    found = doubles(torch.cat([x, x[2:3], x[2:3], x[4:5]]))
    assert found.exact.tolist() == [[2, 5], [2, 6], [4, 7]]
    assert len(found.near) == len(found.turned) == 0


def test_small_changes_are_near_and_not_exact() -> None:
    x = pictures(5)
    brighter = (x[1:2].int() + 9).clamp(0, 255).to(torch.uint8)
    found = doubles(torch.cat([x, noisy(x[3:4]), brighter]))
    assert found.near.tolist() == [[3, 5], [1, 6]]
    assert not len(found.exact)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_images_are_found(quarters: int) -> None:
    x = pictures(6)
    turned = noisy(torch.rot90(x[2:3], quarters, (2, 3)))
    found = doubles(torch.cat([x, turned]))
    assert found.turned.tolist() == [[2, 6]]
    assert not len(found.near)


def test_an_image_that_looks_alike_upside_down_is_not_turned() -> None:
    x = pictures(4)
    even = ((x[:1].int() + torch.rot90(x[:1], 2, (2, 3)).int()) // 2).to(torch.uint8)
    found = doubles(torch.cat([x, even, noisy(even)]))
    assert found.near.tolist() == [[4, 5]]
    assert not len(found.turned)


def test_test_images_that_are_training_images_are_shared() -> None:
    x = pictures(8)
    found = doubles(torch.cat([x, x[1:2], noisy(x[5:6]), x[6:7], x[6:7]]), test=5)
    assert found.shared.tolist() == [[1, 8], [5, 9], [6, 10], [6, 11]]
    assert doubles(torch.cat([x, x[7:8]]), test=2).shared.tolist() == []


def test_thousands_of_near_copies_are_one_pair_each() -> None:
    x = pictures(1).expand(300, -1, -1, -1)
    found = doubles(noisy(x))
    assert found.near[:, 1].tolist() == list(range(1, 300))
    assert bool((found.near[:, 0] < found.near[:, 1]).all())


def test_without_pairs_only_the_same_pixels_are_found() -> None:
    x = pictures(4)
    found = doubles(torch.cat([x, noisy(x[:1]), x[1:2]]), test=1, pairwise=False)
    assert found.exact.tolist() == found.shared.tolist() == [[1, 5]]
    assert len(found.near) == len(found.turned) == 0


def test_images_of_one_colour_are_plain_and_like_no_other() -> None:
    x = torch.cat([pictures(2), torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)])
    x = torch.cat([x, torch.full((1, 3, 32, 32), 9, dtype=torch.uint8)])
    assert plain(x).tolist() == [2, 3]
    assert not signatures(x)[2:].any()
    assert not len(doubles(x).near)


def test_signatures_are_unit_rows_that_brightness_does_not_change() -> None:
    x = pictures(3).clamp(40, 200)
    assert torch.allclose(signatures(x).norm(dim=1), torch.ones(3))
    assert torch.allclose(signatures(x), signatures(x + 50), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 8, 8), (3, 3, 5, 9), (1, 3, 4, 4)])
def test_small_and_oblong_images_are_compared_too(shape: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, shape, generator=g).to(torch.uint8)
    assert doubles(torch.cat([x, x])).exact.tolist() == [[i, i + len(x)] for i in range(len(x))]
