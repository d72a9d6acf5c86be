"""Colour jitter of contrastive views, on float images in 0 to 255, with parameters for each image.

Semantics and order of operations are those of `torchvision.transforms.v2.ColorJitter`: brightness,
contrast and saturation are each a blend with an image of one grey (black, the mean grey, each
pixel's own), so that one blend serves all three, whichever of them an image has next.
"""

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import (
    Group,
    all_but,
    chance,
    constant,
    pixelwise,
    uniform,
    where_drawn,
)
from spice_cli.ops.color import luma, mean_gray

BRIGHTNESS, CONTRAST, SATURATION = range(3)
ORDERS = tuple(permutations((BRIGHTNESS, CONTRAST, SATURATION)))
MIDDLE = tuple(((turn,),) for turn in (1 / 2, 1 / 3, 2 / 3))
"""Hues (3, 1, 1) that a channel's value depends on the distance from, in turns."""
NO_HUE, NEVER, WHENS = 4, 5, 6
"""Instead of the hue's place in the order: the blends alone, or no change; how many there are."""


def draw_jitter(
    n: int,
    generator: Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `color_jitter` needs for n images: when (n,), blends (n, 3, 3), shift (n,).

    The hue turns before blend number `when`, 3 being after the last, 4 nowhere; 5 is no change.

    Factors are uniform in 1 - strength to 1 + strength, not below 0, the hue's shift in -hue to hue
    turns; every image is jittered with `probability` and has its own order of the four operations,
    uniform over all 24.
    """
    strengths = (brightness, contrast, saturation)
    factors = [uniform(n, max(0.0, 1 - s), 1 + s, generator) for s in strengths]
    shift = uniform(n, -hue, hue, generator)
    drawn = chance(n, probability, generator)
    order = torch.randint(4 * len(ORDERS), (n,), generator=generator, device=generator.device)
    place = order // len(ORDERS) if hue > 0 else torch.full_like(order, NO_HUE)
    when = torch.where(drawn, place, NEVER)
    sequence = constant(ORDERS, generator.device)[order % len(ORDERS)]
    factor = torch.stack(factors, dim=1).gather(1, sequence)
    rest = 1 - factor
    blends = [factor, rest * (sequence == SATURATION), rest * (sequence == CONTRAST)]
    return when, torch.stack(blends, dim=2), shift


def color_jitter(images: Tensor, groups: Sequence[Group], blends: Tensor, shift: Tensor) -> Tensor:
    """Return float images (n, 3, h, w) after four colour changes, overwriting `images`.

    Three blends in turn, of parameters (n, 3, 3) for `blend`, and the hue's turn by `shift` (n,)
    when `draw_jitter` says: `groups` are the rows of each of its `WHENS` values.
    """
    for slot in range(4):
        images = where_drawn(images, groups[slot], adjust_hue, shift)
        if slot < 3:
            images = where_drawn(images, all_but(groups[NEVER]), blend, blends[:, slot])
    return images


def blend(images: Tensor, shares: Tensor) -> Tensor:
    """Return float images, overwritten, as a sum of themselves, their grey and their mean grey.

    `shares` (n, 3) weigh the three; the sum is cut to 0 to 255. Of a factor f, brightness is
    (f, 0, 0), saturation (f, 1 - f, 0) and contrast (f, 0, 1 - f).
    """
    own, gray, mean = (pixelwise(share) for share in shares.unbind(1))
    level = luma(images)
    mean = mean * mean_gray(level)
    return images.mul_(own).add_(level.mul_(gray).add_(mean)).clamp_(0, 255)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Return float images whose hue is turned by `shift` (n,), in turns.

    With c the largest less the smallest channel, a hue lies (max - 2 min + green + blue - red) / c
    sixths of a turn from red, on green's side or blue's. A channel is min + c * clamp(t, 0, 1)
    where t falls linearly, 2 - 6 d, with the distance d in turns from the channel's own hue.
    """
    red, green, blue = images.split_with_sizes([1, 1, 1], dim=1)
    low = torch.minimum(green, blue)
    turn = torch.maximum(green, blue)
    torch.minimum(low, red, out=low)
    chroma = torch.maximum(turn, red, out=turn) - low
    torch.add(green, blue, out=turn).sub_(red).sub_(low).add_(chroma)
    six = chroma * 6
    turn.div_(six + 1e-6).copysign_(green - blue).add_(pixelwise(shift + 1)).frac_()
    middle = constant(MIDDLE, images.device)
    views = (turn - middle).abs_().clamp_(1 / 6, 1 / 3).mul_(six)
    first, rest = views.split_with_sizes([1, 2], dim=1)
    first.add_(low).sub_(chroma)
    torch.sub(torch.add(low, chroma, alpha=2), rest, out=rest)
    return views


def grayscale(images: Tensor) -> Tensor:
    """Return float images (n, 3, h, w) with all channels equal to their brightness."""
    return luma(images).expand_as(images)
