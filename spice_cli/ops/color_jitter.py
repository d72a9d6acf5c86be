"""Colour jitter of contrastive views, on float images in 0 to 1, with parameters for each image.

Semantics and order of operations are those of `torchvision.transforms.v2.ColorJitter`.
"""

from itertools import permutations

import torch
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import chance, pixelwise, uniform, where_drawn
from spice_cli.ops.color import luma

ORDERS = tuple(permutations(range(4)))


def color_jitter(
    images: Tensor,
    generator: Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float,
) -> Tensor:
    """Return float images (n, 3, h, w), each jittered with `probability`, overwriting `images`.

    Factors are uniform in 1 - strength to 1 + strength, not below 0, the hue's shift in -hue to hue
    turns; every image has its own order of the four operations, uniform over all 24.
    """
    n = len(images)
    strengths = (brightness, contrast, saturation, hue)
    factors = [uniform(n, max(0.0, 1 - s), 1 + s, generator) for s in strengths[:3]]
    factors.append(uniform(n, -hue, hue, generator))
    drawn = chance(n, probability, generator)
    order = torch.randint(len(ORDERS), (n,), generator=generator, device=generator.device)
    active = [i for i in range(4) if strengths[i] > 0]
    apply = _order_by_order if images.device.type == "cpu" else _slot_by_slot
    return apply(images, drawn, order, factors, active)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Return float images scaled by the factor (n,)."""
    return (images * pixelwise(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Return float images moved from their mean grey by the factor (n,)."""
    mean = luma(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, pixelwise(factor)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Return float images moved from their grey version by the factor (n,)."""
    return torch.lerp(luma(images), images, pixelwise(factor)).clamp_(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Return float images whose hue is turned by `shift` (n,), in turns.

    The hexagon of hues in sixths: with v the largest and v - c the smallest channel, a channel is
    v - c + c * clamp(t), where t falls linearly with the hue's distance from the channel's own.
    """
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    near_green = torch.add(blue - red, chroma, alpha=2)
    near_blue = torch.add(red - green, chroma, alpha=4)
    angle = torch.lerp(near_green, near_blue, (high - green).sign_())
    angle = torch.lerp(green - blue, angle, (high - red).sign_())
    angle.div_(chroma.clamp(min=1e-12)).div_(6).add_(pixelwise(shift))
    angle.sub_(angle.floor()).mul_(6)
    share = torch.empty_like(images)
    torch.abs(angle - 3, out=share[:, 0:1]).sub_(1)
    torch.abs(angle - 2, out=share[:, 1:2]).neg_().add_(2)
    torch.abs(angle - 4, out=share[:, 2:3]).neg_().add_(2)
    return share.clamp_(0, 1).mul_(chroma).add_(low)


def grayscale(images: Tensor) -> Tensor:
    """Return float images (n, 3, h, w) with all channels equal to their brightness."""
    return luma(images).expand_as(images)


OPERATIONS = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)


def _order_by_order(
    images: Tensor, drawn: Tensor, order: Tensor, factors: list[Tensor], active: list[int]
) -> Tensor:
    for k, chosen in enumerate(ORDERS):

        def chain(images: Tensor, *factors: Tensor, chosen: tuple[int, ...] = chosen) -> Tensor:
            for i in chosen:
                images = OPERATIONS[i](images, factors[i]) if i in active else images
            return images

        images = where_drawn(images, drawn & (order == k), chain, *factors)
    return images


def _slot_by_slot(
    images: Tensor, drawn: Tensor, order: Tensor, factors: list[Tensor], active: list[int]
) -> Tensor:
    slots = torch.tensor(ORDERS, device=images.device)[order]
    for slot in range(4):
        for i in active:
            now = drawn & (slots[:, slot] == i)
            images = where_drawn(images, now, OPERATIONS[i], factors[i])
    return images
