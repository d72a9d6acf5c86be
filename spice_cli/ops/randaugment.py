"""RandAugment with the fourteen operations of SCAN and FixMatch, then one square cut out.

Every image draws its own operations, magnitudes and signs, on uint8 batches (n, 3, h, w).
Sources: RandAugment (https://arxiv.org/abs/1909.13719), FixMatch (https://arxiv.org/abs/2001.07685,
table 12), SCAN (https://arxiv.org/abs/2005.12320).
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from spice_cli.ops import color
from spice_cli.ops.augment_draw import chance, in_blocks, uniform, where_drawn
from spice_cli.ops.geometry import affine, rotation, shear_x, shear_y, translate_x, translate_y

Range = tuple[float, float]

GEOMETRIC: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "rotate": rotation,
    "shear-x": shear_x,
    "shear-y": shear_y,
    "translate-x": translate_x,
    "translate-y": translate_y,
}
"""Operations that move pixels; their magnitudes get a random sign."""

ENHANCE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "solarize": color.solarize,
    "posterize": color.posterize,
    "color": color.color,
    "contrast": color.contrast,
    "brightness": color.brightness,
    "sharpness": color.sharpness,
}
"""Operations on values that have a magnitude."""

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "autocontrast": color.autocontrast,
    "equalize": color.equalize,
}
"""Operations on values that have none."""

OPERATIONS = (*GEOMETRIC, *ENHANCE, *PLAIN, "identity")


def _ranges(shift: float) -> tuple[Range, ...]:
    blend = (0.05, 0.95)
    moves = ((0.0, 30.0), *[(0.0, shift)] * 4)
    return (*moves, (0.0, 256.0), (4.0, 8.0), *[blend] * 4, *[(0.0, 0.0)] * 3)


RANGES = {"scan": _ranges(0.1), "fixmatch": _ranges(0.3)}
"""Least and largest magnitude of each of `OPERATIONS`: degrees, shares of the side, threshold,
bits, factors."""


def rand_augment(images: Tensor, generator: Generator, *, policy: str, operations: int) -> Tensor:
    """Return uint8 images after `operations` operations each, drawn with replacement.

    Magnitudes are uniform in the policy's range (`posterize` takes the whole part, as both
    references do). What moves pixels is one sampling of the nearest pixel a round.
    """
    n, _, height, width = images.shape
    ranges = torch.tensor(RANGES[policy], device=images.device)
    images = images.clone()

    def move(images: Tensor, which: Tensor, magnitude: Tensor) -> Tensor:
        matrices = torch.stack([make(magnitude, height, width) for make in GEOMETRIC.values()])
        rows = torch.arange(len(images), device=images.device)
        matrices = matrices[which.clamp(max=len(GEOMETRIC) - 1), rows]
        return in_blocks(
            lambda x, m: affine(x.float(), m, (height, width), "nearest").to(torch.uint8),
            images,
            matrices,
        )

    for _ in range(operations):
        which = torch.randint(len(OPERATIONS), (n,), generator=generator, device=images.device)
        low, high = ranges[which].unbind(1)
        magnitude = low + (high - low) * uniform(n, 0, 1, generator)
        signed = torch.where(chance(n, 0.5, generator), -magnitude, magnitude)
        images = where_drawn(images, which < len(GEOMETRIC), move, which, signed)
        for k, enhance in enumerate(ENHANCE.values(), len(GEOMETRIC)):
            images = where_drawn(images, which == k, enhance, magnitude)
        for k, change in enumerate(PLAIN.values(), len(GEOMETRIC) + len(ENHANCE)):
            images = where_drawn(images, which == k, change)
    return images


def cutout(images: Tensor, generator: Generator, sides: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Return images (n, 3, h, w), overwritten, with a square of `sides` (n,) pixels of `fill` (3).

    Centres are uniform over the pixels; a square extends side // 2 both ways and is clipped at the
    border.
    """
    n, _, height, width = images.shape
    reach = (sides / 2).floor()[:, None]

    def inside(length: int) -> Tensor:
        centre = uniform(n, 0, length, generator).floor()[:, None]
        place = torch.arange(length, device=images.device)
        return ((place >= centre - reach) & (place < centre + reach)).to(images.dtype)

    keep = 1 - inside(height)[:, None, :, None] * inside(width)[:, None, None, :]
    color = images.new_tensor(fill)[:, None, None]
    return images.sub_(color).mul_(keep).add_(color)
