import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from spice_cli.ops import geometry, geometry_crop, geometry_filter

N = 20


def images(height: int = 32, width: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (N, 3, height, width), dtype=torch.uint8, generator=generator)


def draws(low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(N, generator=torch.Generator().manual_seed(5))


def shear(image: Tensor, x: float, y: float) -> Tensor:
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return tv.affine(image, 0.0, [0, 0], 1.0, degrees, center=[0, 0])


@pytest.mark.parametrize(
    ("make", "oracle", "reach"),
    [
        (geometry.rotation, tv.rotate, 30.0),
        (geometry.shear_x, lambda image, m: shear(image, m, 0.0), 0.3),
        (geometry.shear_y, lambda image, m: shear(image, 0.0, m), 0.3),
    ],
)
def test_nearest_moves_are_torchvisions_but_for_ties(make, oracle, reach: float) -> None:
    x, magnitude = images(), draws(-reach, reach)
    moved = geometry.affine(x.float(), make(magnitude, 32, 24), (32, 24), "nearest")
    expected = torch.stack([oracle(i, float(m)) for i, m in zip(x, magnitude, strict=True)])
    assert (moved == expected).float().mean() > 0.995


@pytest.mark.parametrize("axis", [0, 1])
def test_translations_are_torchvisions(axis: int) -> None:
    x = images()
    make, side = ((geometry.translate_x, 24), (geometry.translate_y, 32))[axis]
    pixels = torch.arange(N) - N // 2
    moved = geometry.affine(x.float(), make(pixels / side, 32, 24), (32, 24), "nearest")
    shift = [[p if a == axis else 0 for a in (0, 1)] for p in pixels.tolist()]
    expected = [tv.affine(i, 0.0, s, 1.0, [0.0, 0.0]) for i, s in zip(x, shift, strict=True)]
    assert torch.equal(moved, torch.stack(expected).float())


def whole(side: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(-4, 5, (2, N), generator=generator).float()


def test_composed_moves_are_the_moves_one_after_the_other_where_pixels_meet_pixels() -> None:
    x = F.pad(images(), (10, 10, 10, 10)).float()
    size = (height, width) = tuple(x.shape[2:])
    down, right = whole(0)
    mirror = torch.arange(N) % 2 == 0
    steps = [
        geometry.translate_x(right / width, height, width),
        geometry.rotation(torch.full((N,), 180.0), height, width),
        geometry.window(*whole(1), mirror),
        geometry.translate_y(down / height, height, width),
    ]
    together, moved = steps[0], geometry.affine(x, steps[0], size, "nearest")
    for step in steps[1:]:
        together = geometry.compose(together, step)
        moved = geometry.affine(moved, step, size, "nearest")
    assert torch.equal(geometry.affine(x, together, size, "nearest"), moved)


def test_composed_matrices_are_the_product_of_the_maps() -> None:
    first, then = geometry.rotation(draws(-30, 30), 32, 24), geometry.shear_x(draws(-1, 1), 32, 24)
    point = torch.tensor([3.0, -5.0, 1.0])
    middle = torch.cat([then @ point, torch.ones(N, 1)], dim=1)
    expected = (first @ middle[..., None])[..., 0]
    torch.testing.assert_close(geometry.compose(first, then) @ point, expected)


def test_drawn_windows_are_uniform_over_all_shifts_and_mirrorings() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = geometry.draw_windows(9000, generator, pad=1, flip=0.5)
    values, counts = drawn.unique(dim=0, return_counts=True)
    assert len(values) == 18 and counts.min() > 400
    assert (drawn[:, :, 2].abs() <= 1).all() and (drawn[:, 0, 0].abs() == 1).all()


@pytest.mark.parametrize("side", [7, 32, 224])
def test_windows_are_slices_of_the_padded_image_or_of_its_mirror_image(side: int) -> None:
    x = images(side, side + 1)
    (down, right), mirror = whole(2), torch.arange(N) % 2 == 0
    out = geometry.affine(
        x.float(), geometry.window(down, right, mirror), (side, side + 1), "nearest"
    )
    for i in range(N):
        padded = F.pad(x[i], (4, 4, 4, 4))
        padded = padded.flip(2) if mirror[i] else padded
        top, left = int(down[i]) + 4, int(right[i]) + 4
        assert torch.equal(out[i], padded[:, top : top + side, left : left + side + 1].float())


def boxes(height: int, width: int, seed: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return geometry_crop.crop_boxes(
        N, height, width, generator, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)
    )


def cropped(
    x: Tensor, box: Tensor, mirror: Tensor, degrees: Tensor | None, size: tuple[int, int]
) -> Tensor:
    sample, places = geometry_crop.crop_sampler(box, mirror, degrees, (32, 24), size)
    return sample(x, places)


@pytest.mark.parametrize("size", [(32, 24), (40, 40), (16, 16), (7, 30)])
def test_crops_are_torchvisions_enlarged_and_reduced(size: tuple[int, int]) -> None:
    x, box = images().float() / 255, boxes(32, 24)
    mirror = torch.arange(N) % 3 == 0
    out = cropped(x, box, mirror, None, size)
    for i in range(N):
        expected = tv.resized_crop(x[i], *box[i].int().tolist(), list(size), antialias=True)
        expected = expected.flip(2) if mirror[i] else expected
        torch.testing.assert_close(out[i], expected, atol=2e-5, rtol=0)


def test_a_rotated_crop_of_the_whole_image_is_torchvisions_rotation() -> None:
    x, degrees = images().float() / 255, draws(-30, 30)
    everything = torch.tensor([0.0, 0.0, 32.0, 24.0]).expand(N, 4)
    mirror = torch.arange(N) % 2 == 0
    out = cropped(x, everything, mirror, degrees, (32, 24))
    for i in range(N):
        image = x[i].flip(2) if mirror[i] else x[i]
        expected = tv.rotate(image, float(degrees[i]), InterpolationMode.BILINEAR)
        torch.testing.assert_close(out[i], expected, atol=1e-4, rtol=0)


def test_a_crop_turned_by_nothing_is_the_crop_but_for_its_rim() -> None:
    x, box, mirror = images().float() / 255, boxes(32, 24), torch.arange(N) % 2 == 0
    straight = cropped(x, box, mirror, None, (32, 32))
    turned = cropped(x, box, mirror, torch.zeros(N), (32, 32))
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(turned[inner], straight[inner], atol=1e-4, rtol=0)


def test_boxes_lie_inside_and_have_the_law_of_random_resized_crop() -> None:
    generator = torch.Generator().manual_seed(8)
    box = geometry_crop.crop_boxes(
        20_000, 100, 100, generator, area=(0.2, 1.0), ratio=(3 / 4, 4 / 3)
    )
    top, left, high, wide = box.unbind(1)
    assert torch.equal(box, box.round())
    assert (box >= 0).all() and (top + high <= 100).all() and (left + wide <= 100).all()
    share, ratio = high * wide / 1e4, wide / high
    assert share.min() > 0.19 and share.max() <= 1
    assert ratio.min() > 0.73 and ratio.max() < 1.37
    small = share < 0.5  # where nearly every try fits, the log of the ratio stays uniform
    assert abs(float(ratio[small].log().mean())) < 0.01
    assert abs(float(ratio[small].log().std()) - 2 * math.log(4 / 3) / math.sqrt(12)) < 0.01
    assert abs(float((top / (100 - high).clamp(min=1))[small].mean()) - 0.5) < 0.01


def test_a_shape_that_never_fits_falls_back_to_the_centre() -> None:
    generator = torch.Generator().manual_seed(9)
    box = geometry_crop.crop_boxes(3, 10, 100, generator, area=(1.0, 1.0), ratio=(3 / 4, 4 / 3))
    assert box.tolist() == [[0.0, 43.0, 10.0, 13.0]] * 3


@pytest.mark.parametrize(("side", "radius"), [(24, 6), (7, 6), (5, 1)])
def test_blur_is_torchvisions_with_each_images_own_sigma(side: int, radius: int) -> None:
    x, sigma = images(side, side).float() / 255, draws(0.1, 2.0)
    weights = geometry_filter.blur_weights(sigma, side, radius)
    out = geometry_filter.separable(x, weights, weights)
    kernel = [2 * radius + 1] * 2
    expected = [tv.gaussian_blur(i, kernel, [float(s)] * 2) for i, s in zip(x, sigma, strict=True)]
    torch.testing.assert_close(out, torch.stack(expected), atol=1e-5, rtol=0)
