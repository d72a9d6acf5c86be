"""RandAugment with the fourteen operations of SCAN and FixMatch, then one square cut out.

Every image draws its own operations, magnitudes and signs, in batches (n, 3, h, w). Sources:
RandAugment (https://arxiv.org/abs/1909.13719), FixMatch (https://arxiv.org/abs/2001.07685,
table 12), SCAN (https://arxiv.org/abs/2005.12320).
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from spice_cli.ops import color
from spice_cli.ops.augment_draw import by_kind, chance, constant, uniform
from spice_cli.ops.geometry import (
    compose,
    nearest,
    rotation,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)

Range = tuple[float, float]

GEOMETRIC: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "rotate": rotation,
    "shear-x": shear_x,
    "shear-y": shear_y,
    "translate-x": translate_x,
    "translate-y": translate_y,
}
"""Operations that move pixels; their magnitudes get a random sign."""

COLOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "solarize": color.solarize,
    "posterize": color.posterize,
    "color": color.color,
    "contrast": color.contrast,
    "brightness": color.brightness,
    "sharpness": color.sharpness,
    "autocontrast": lambda images, _: color.autocontrast(images),
    "equalize": lambda images, _: color.equalize(images),
}
"""Operations on values; the last two have no magnitude."""

OPERATIONS = (*COLOR, *GEOMETRIC, "identity")


def _ranges(shift: float) -> tuple[Range, ...]:
    moves = ((0.0, 30.0), *[(0.0, shift)] * 4)
    return ((0.0, 256.0), (4.0, 8.0), *[(0.05, 0.95)] * 4, *[(0.0, 0.0)] * 2, *moves, (0.0, 0.0))


RANGES = {"scan": _ranges(0.1), "fixmatch": _ranges(0.3)}
"""Least and largest magnitude of each of `OPERATIONS`: threshold, bits, factors, degrees, shares of
the side."""


def rand_augment(
    images: Tensor,
    generator: Generator,
    *,
    policy: str,
    operations: int,
    placed: Tensor | None = None,
) -> Tensor:
    """Return uint8 images after `operations` operations each, as whole floats in 0 to 255.

    Operations are drawn with replacement, magnitudes uniform in the policy's range (`posterize`
    takes the whole part, as both references do). What moves the pixels of an image, in its order,
    after the matrices `placed` (n, 2, 3) if given, is one sampling of the nearest pixel; what
    changes colours follows in its order.
    """
    n, _, height, width = images.shape
    which = torch.randint(
        len(OPERATIONS), (operations, n), generator=generator, device=images.device
    )
    low, high = constant(RANGES[policy], images.device)[which].unbind(2)
    share = uniform(operations * n, 0, 1, generator).view(operations, n)
    magnitude = low + (high - low) * share
    minus = chance(operations * n, 0.5, generator).view(operations, n)
    signed = torch.where(minus, -magnitude, magnitude)
    drawn = moves(which.flatten() - len(COLOR), signed.flatten(), height, width)
    for move in drawn.view(operations, n, 2, 3).unbind(0):
        placed = move if placed is None else compose(placed, move)
    images = images.float()
    if placed is not None:
        images = nearest(images, placed)
    return by_kind(images, which, tuple(COLOR.values()), magnitude)


def moves(which: Tensor, magnitude: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) of `GEOMETRIC` number `which` (n,); of no other, the identity."""
    still = translate_x(torch.zeros_like(magnitude), height, width)
    made = [make(magnitude, height, width) for make in GEOMETRIC.values()]
    matrices = torch.stack([*made, still])
    known = (which >= 0) & (which < len(made))
    rows = torch.arange(len(which), device=which.device)
    return matrices[torch.where(known, which, len(made)), rows]


def cutout(images: Tensor, generator: Generator, sides: Tensor, fill: tuple[float, ...]) -> Tensor:
    """Return float images (n, 3, h, w), overwritten, with a square of `sides` (n,) of `fill` (3).

    Centres are uniform over the pixels; a square extends side // 2 both ways and is clipped at the
    border.
    """
    n, _, height, width = images.shape
    reach = (sides / 2).floor()[:, None]

    def inside(length: int) -> Tensor:
        centre = uniform(n, 0, length, generator).floor()[:, None]
        place = torch.arange(length, device=images.device)
        return ((place >= centre - reach) & (place < centre + reach)).to(images.dtype)

    cut = inside(height)[:, None, :, None] * inside(width)[:, None, None, :]
    if any(fill):
        return images.mul_(1 - cut).add_(cut * constant(fill, images.device)[:, None, None])
    return images.mul_(1 - cut)
