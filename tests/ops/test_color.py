import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from spice_cli.ops import color


def images(n: int = 24, height: int = 17, width: int = 23) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    low = torch.randint(0, 120, (n, 3, 1, 1), generator=generator)
    span = torch.randint(1, 136, (n, 3, 1, 1), generator=generator)
    noise = torch.rand(n, 3, height, width, generator=generator)
    return (low + span * noise).floor()


def off_by(actual: Tensor, expected: list[Tensor]) -> int:
    assert torch.equal(actual, actual.round()) and actual.min() >= 0 and actual.max() <= 255
    return int((actual - torch.stack(expected)).abs().max())


def bytes_of(images: Tensor) -> Tensor:
    return images.to(torch.uint8)


def factors(low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("operation", "oracle"),
    [
        (color.color, tv.adjust_saturation),
        (color.contrast, tv.adjust_contrast),
        (color.brightness, tv.adjust_brightness),
        (color.sharpness, tv.adjust_sharpness),
    ],
)
def test_blends_are_torchvisions_with_each_images_own_factor(operation, oracle) -> None:
    x, factor = images(), factors(0.05, 0.95)
    expected = [oracle(image, float(f)) for image, f in zip(bytes_of(x), factor, strict=True)]
    assert off_by(operation(x, factor), expected) <= 1


def test_a_factor_of_one_changes_nothing() -> None:
    x = images()
    for operation in (color.color, color.contrast, color.brightness, color.sharpness):
        assert torch.equal(operation(x, torch.ones(24)), x)


def test_sharpness_leaves_images_without_an_inside_as_they_are() -> None:
    for side in (1, 2):
        x = images(24, side, 5)
        assert torch.equal(color.sharpness(x, factors(0.05, 0.95)), x)


def test_solarize_is_torchvisions() -> None:
    x, threshold = images(), factors(0, 255)
    threshold[:3] = threshold[:3].round()
    expected = [
        tv.solarize(image, float(t)) for image, t in zip(bytes_of(x), threshold, strict=True)
    ]
    assert off_by(color.solarize(x, threshold), expected) == 0


def test_solarize_at_0_inverts_and_at_256_does_nothing() -> None:
    x = images()
    assert torch.equal(color.solarize(x, torch.zeros(24)), 255 - x)
    assert torch.equal(color.solarize(x, torch.full((24,), 256.0)), x)


def test_posterize_is_torchvisions_and_takes_the_whole_part_of_the_bits() -> None:
    x = images()
    bits = 4 + 4 * torch.rand(24, generator=torch.Generator().manual_seed(1))
    bits[:2] = torch.tensor([4.0, 8.0])
    expected = [tv.posterize(image, int(b)) for image, b in zip(bytes_of(x), bits, strict=True)]
    assert off_by(color.posterize(x, bits), expected) == 0


def hard_cases() -> Tensor:
    x = images(24, 32, 32)
    x[0] = 77
    x[1, :, 16:] = 200
    x[2, 0] = 0
    x[3] = (torch.arange(1024).view(32, 32) // 4).float()
    x[4, :, 0, 0] = 255
    x[5] = (torch.arange(1024).view(32, 32) == 0) * 3.0
    return x


def test_equalize_is_torchvisions_exactly() -> None:
    x = hard_cases()
    assert torch.equal(color.equalize(x), tv.equalize(bytes_of(x)).float())


@pytest.mark.parametrize("side", [5, 15, 17])
def test_equalize_is_torchvisions_exactly_on_few_pixels(side: int) -> None:
    x = images(24, side, side)
    assert torch.equal(color.equalize(x), tv.equalize(bytes_of(x)).float())


def test_autocontrast_is_torchvisions() -> None:
    x = hard_cases()
    assert off_by(color.autocontrast(x), list(tv.autocontrast(bytes_of(x)))) <= 1
