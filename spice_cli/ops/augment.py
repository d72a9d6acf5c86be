"""Views of image batches: uint8 in, normalised float32 out, parameters drawn for each image.

All randomness comes from a generator on the images' device. `contrastive`, `weak` and `strong`
take the fields of `config.Views`, `config.Weak` and `config.Strong`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import (
    Group,
    below,
    chance,
    constant,
    in_blocks,
    uniform,
    where_drawn,
)
from spice_cli.ops.color_jitter import WHENS, color_jitter, draw_jitter, grayscale
from spice_cli.ops.geometry import draw_windows, nearest
from spice_cli.ops.geometry_crop import crop_boxes, crop_sampler
from spice_cli.ops.geometry_filter import gaussian_blur
from spice_cli.ops.randaugment import cutout as cut_square
from spice_cli.ops.randaugment import rand_augment

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SCALE = tuple(((1 / (255 * std),),) for std in STD)
OFFSET = tuple(((-mean / std,),) for mean, std in zip(MEAN, STD, strict=True))
GRAY = (125.0, 123.0, 114.0)
"""FixMatch's fill, near the mean colour of photographs."""


def plain(images: Tensor) -> Tensor:
    """Return uint8 images (n, 3, h, w) as float32 with ImageNet's normalisation."""
    return _normalise(images.float())


def contrastive(images: Tensor, generator: Generator, **settings: Any) -> Tensor:
    """Return one random view (n, 3, s, s) of each uint8 image, as `draw_contrastive` draws it."""
    shape = (images.shape[2], images.shape[3])
    return draw_contrastive(len(images), shape, generator, **settings)(images, None)


def draw_contrastive(
    n: int,
    image: tuple[int, int],
    generator: Generator,
    *,
    size: int | None,
    crop: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
    rotate: float,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    jitter: float,
    gray: float,
    blur: float,
    blur_sigma: tuple[float, float],
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Draw one random view of each of n images of height and width `image`.

    Returns the function that makes the views (m, 3, s, s), s being `size` or the image's side, of
    the uint8 images (m, 3, h, w) whose numbers (m,) in the draw it is given; none: of all.

    Resized crop with mirroring (and rotation by up to `rotate` degrees), colour jitter with
    probability `jitter`, grey with probability `gray`, Gaussian blur with probability `blur` and
    sigma in pixels uniform in `blur_sigma`, normalisation: the views of MoCo v2
    (https://arxiv.org/abs/2003.04297) and SimCLR (https://arxiv.org/abs/2002.05709).
    """
    height, width = image
    shape = (size, size) if size else image
    radius = min(math.ceil(3 * blur_sigma[1]), *(side - 1 for side in shape))
    blurred = partial(gaussian_blur, radius=radius)
    boxes = crop_boxes(n, height, width, generator, area=crop, ratio=ratio)
    mirror = chance(n, flip, generator)
    degrees = uniform(n, -rotate, rotate, generator) if rotate > 0 else None
    sample, places = crop_sampler(boxes, mirror, degrees, image, shape)
    when, blends, shift = draw_jitter(
        n,
        generator,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        probability=jitter,
    )
    grays, blurs = chance(n, gray, generator), chance(n, blur, generator)
    sigma = uniform(n, *blur_sigma, generator)

    def view(
        groups: Sequence[Group],
        images: Tensor,
        places: Tensor,
        blends: Tensor,
        shift: Tensor,
        grays: Tensor,
        blurs: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        views = sample(images.float(), places)
        if jitter > 0:
            views = color_jitter(views, groups, blends, shift)
        if gray > 0:
            views = where_drawn(views, grays, grayscale)
        if blur > 0:
            views = where_drawn(views, blurs, blurred, sigma)
        return _normalise(views)

    def made(images: Tensor, which: Tensor | None) -> Tensor:
        drawn = (when, places, blends, shift, grays, blurs, sigma)
        kind, *own = drawn if which is None else (tensor[which] for tensor in drawn)
        return in_blocks(view, kind, WHENS, images, *own)

    return made


def weak(images: Tensor, generator: Generator, *, pad: int, flip: float) -> Tensor:
    """Return uint8 images (n, 3, h, w) shifted by up to `pad` pixels, mirrored, normalised.

    The shift is a random crop of the image padded with black; mirroring has probability `flip`.
    """
    placed = draw_windows(len(images), generator, pad=pad, flip=flip)
    return _normalise(nearest(images.float(), placed))


def strong(
    images: Tensor,
    generator: Generator,
    *,
    policy: Literal["scan", "fixmatch"],
    operations: int,
    cutout: float,
    pad: int,
    flip: float,
) -> Tensor:
    """Return strong views (n, 3, h, w) of uint8 images, normalised.

    `scan`: shift and mirror, `operations` of RandAugment, normalise, cut out a square of zeros with
    side uniform in 1 to round(cutout * w). `fixmatch`: RandAugment, cut out a grey square with side
    uniform in 0 to cutout * w, shift and mirror, normalise.
    """
    n, width = len(images), images.shape[3]
    placed = draw_windows(n, generator, pad=pad, flip=flip)
    if policy == "fixmatch":
        views = rand_augment(images, generator, policy=policy, operations=operations)
        if cutout > 0:
            views = cut_square(views, generator, uniform(n, 0, cutout * width, generator), GRAY)
        return _normalise(nearest(views, placed))
    views = _normalise(
        rand_augment(images, generator, policy=policy, operations=operations, placed=placed)
    )
    largest = round(cutout * width)
    if largest > 0:
        sides = 1 + below(torch.full((n,), float(largest), device=images.device), generator)
        views = cut_square(views, generator, sides, (0.0, 0.0, 0.0))
    return views


def _normalise(images: Tensor) -> Tensor:
    """Return float images in 0 to 255, overwritten, with ImageNet's normalisation."""
    scale, offset = constant(SCALE, images.device), constant(OFFSET, images.device)
    return images.mul_(scale).add_(offset)
