import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from spice_cli.ops import augment_draw
from spice_cli.ops import color_jitter as jitter

SETTINGS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
ORACLES = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)


def images(n: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(n, 3, 9, 11, generator=generator)
    x[0] = 0.5
    x[1] = (x[1] > 0.5).float()
    x[2, 1] = x[2, 0]
    x[3] = 0
    x[4, 2] = x[4, 1]
    x[5, 2] = x[5, 0]
    return x * 255


def jittered(x: Tensor, when: Tensor, blends: Tensor, shift: Tensor) -> Tensor:
    masks = [when == k for k in range(jitter.WHENS)]
    return jitter.color_jitter(x.clone(), masks, blends, shift)


def shares(kind: int, factor: Tensor) -> Tensor:
    zero, rest = torch.zeros_like(factor), 1 - factor
    gray = rest if kind == jitter.SATURATION else zero
    return torch.stack([factor, gray, rest if kind == jitter.CONTRAST else zero], dim=1)


def factors(low: float, high: float, n: int = 30) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", [jitter.BRIGHTNESS, jitter.CONTRAST, jitter.SATURATION])
def test_each_blend_is_torchvisions(kind: int) -> None:
    x, factor = images(), factors(0.2, 1.8)
    pairs = zip(x / 255, factor, strict=True)
    expected = torch.stack([ORACLES[kind](image, float(f)) for image, f in pairs])
    out = jitter.blend(x.clone(), shares(kind, factor))
    torch.testing.assert_close(out / 255, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("reach", [0.1, 0.5])
def test_hue_is_torchvisions(reach: float) -> None:
    x, shift = images(), factors(-reach, reach)
    pairs = zip(x / 255, shift, strict=True)
    expected = torch.stack([tv.adjust_hue(image, float(s)) for image, s in pairs])
    torch.testing.assert_close(jitter.adjust_hue(x, shift) / 255, expected, atol=2e-5, rtol=0)


def test_grayscale_is_torchvisions() -> None:
    x = images()
    torch.testing.assert_close(jitter.grayscale(x), tv.rgb_to_grayscale(x, 3))


def test_every_image_has_its_own_order_and_factors_torchvision_agrees() -> None:
    n = 200
    x = torch.rand(n, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    drawn = jitter.draw_jitter(n, torch.Generator().manual_seed(1), **SETTINGS, probability=0.8)
    out = jittered(x * 255, *drawn) / 255
    generator = torch.Generator().manual_seed(1)
    draw = torch.rand(4, n, generator=generator) - 0.5
    strengths = 2 * draw * torch.tensor([0.4, 0.4, 0.4, 0.1])[:, None]
    changed = torch.rand(n, generator=generator) < 0.8
    order = torch.randint(24, (n,), generator=generator)
    met = set()
    for i in range(n):
        expected = x[i]
        chain = list(jitter.ORDERS[order[i] % 6])
        chain.insert(order[i] // 6, 3)
        met.add(tuple(chain))
        for k in chain if changed[i] else ():
            if k == 3:
                expected = tv.adjust_hue(expected, float(strengths[3, i]))
            else:
                expected = ORACLES[k](expected, 1 + float(strengths[k, i]))
        torch.testing.assert_close(out[i], expected, atol=1e-4, rtol=0)
    assert len(met) == 24


def test_computing_all_and_selecting_gives_what_computing_the_drawn_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def select(images, drawn, operation, *parameters):
        changed = operation(images.clone(), *parameters)
        return torch.where(augment_draw.pixelwise(drawn), changed, images)

    x = images()
    drawn = jitter.draw_jitter(30, torch.Generator().manual_seed(4), **SETTINGS, probability=0.8)
    computed = jittered(x, *drawn)
    monkeypatch.setattr(jitter, "where_drawn", select)
    assert torch.equal(computed, jittered(x, *drawn))


def test_probability_is_the_share_of_images_that_change() -> None:
    x = 255 * torch.rand(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    drawn = jitter.draw_jitter(2000, torch.Generator().manual_seed(1), **SETTINGS, probability=0.8)
    out = jittered(x, *drawn)
    share = (out != x).flatten(1).any(1).float().mean()
    assert 0.76 < share < 0.84


def test_no_strength_changes_nothing() -> None:
    x, none = images(), dict.fromkeys(SETTINGS, 0.0)
    drawn = jitter.draw_jitter(30, torch.Generator().manual_seed(0), **none, probability=1.0)
    assert torch.equal(jittered(x, *drawn), x)


def test_groups_of_sorted_images_are_as_good_as_masks() -> None:
    x, generator = images(), torch.Generator().manual_seed(5)
    when, blends, shift = jitter.draw_jitter(30, generator, **SETTINGS, probability=0.5)

    def operation(groups: list[slice], *tensors: Tensor) -> Tensor:
        return jitter.color_jitter(tensors[0], groups, *tensors[1:])

    out = augment_draw.in_blocks(operation, when, jitter.WHENS, x, blends, shift)
    assert torch.equal(out, jittered(x, when, blends, shift))
