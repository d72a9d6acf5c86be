import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from spice_cli.ops import color_jitter as jitter

SETTINGS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def images(n: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(n, 3, 9, 11, generator=generator)
    x[0] = 0.5
    x[1] = (x[1] > 0.5).float()
    x[2, 1] = x[2, 0]
    x[3] = 0
    return x


@pytest.mark.parametrize(
    ("operation", "oracle", "low", "high"),
    [
        (jitter.adjust_brightness, tv.adjust_brightness, 0.2, 1.8),
        (jitter.adjust_contrast, tv.adjust_contrast, 0.2, 1.8),
        (jitter.adjust_saturation, tv.adjust_saturation, 0.2, 1.8),
        (jitter.adjust_hue, tv.adjust_hue, -0.5, 0.5),
    ],
)
def test_each_adjustment_is_torchvisions(operation, oracle, low: float, high: float) -> None:
    x = images()
    factor = low + (high - low) * torch.rand(30, generator=torch.Generator().manual_seed(3))
    expected = torch.stack([oracle(i, float(f)) for i, f in zip(x, factor, strict=True)])
    torch.testing.assert_close(operation(x, factor), expected, atol=2e-5, rtol=0)


def test_grayscale_is_torchvisions() -> None:
    x = images()
    torch.testing.assert_close(jitter.grayscale(x), tv.rgb_to_grayscale(x, 3))


def test_every_image_has_its_own_order_and_factors_torchvision_agrees() -> None:
    assert len(set(jitter.ORDERS)) == 24
    n = 200
    x = torch.rand(n, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    out = jitter.color_jitter(x.clone(), generator, **SETTINGS, probability=0.8)
    generator = torch.Generator().manual_seed(1)
    draw = torch.rand(4, n, generator=generator) - 0.5
    factors = 2 * draw * torch.tensor([0.4, 0.4, 0.4, 0.1])[:, None]
    factors[:3] += 1
    drawn = torch.rand(n, generator=generator) < 0.8
    order = torch.randint(24, (n,), generator=generator)
    oracles = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for i in range(n):
        expected = x[i]
        for k in jitter.ORDERS[order[i]] if drawn[i] else ():
            expected = oracles[k](expected, float(factors[k, i]))
        torch.testing.assert_close(out[i], expected, atol=1e-4, rtol=0)


def test_slot_by_slot_gives_what_order_by_order_gives() -> None:
    x, generator = images(), torch.Generator().manual_seed(4)
    drawn = torch.rand(30, generator=generator) < 0.8
    order = torch.randint(24, (30,), generator=generator)
    factors = [*(0.6 + 0.8 * torch.rand(3, 30, generator=generator)), torch.linspace(-0.1, 0.1, 30)]
    for active in ([0, 1, 2, 3], [1, 3]):
        orders = jitter._order_by_order(x.clone(), drawn, order, factors, active)
        slots = jitter._slot_by_slot(x.clone(), drawn, order, factors, active)
        assert torch.equal(orders, slots)


def test_probability_is_the_share_of_images_that_change() -> None:
    x = torch.rand(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    out = jitter.color_jitter(x.clone(), generator, **SETTINGS, probability=0.8)
    share = (out != x).flatten(1).any(1).float().mean()
    assert 0.76 < share < 0.84


def test_no_strength_changes_nothing() -> None:
    x, generator = images(), torch.Generator().manual_seed(0)
    none = dict.fromkeys(SETTINGS, 0.0)
    assert torch.equal(jitter.color_jitter(x.clone(), generator, **none, probability=1.0), x)
