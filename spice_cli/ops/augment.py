"""Views of image batches: uint8 in, normalised float32 out, parameters drawn for each image.

All randomness comes from a generator on the images' device. `contrastive`, `weak` and `strong`
take the fields of `config.Views`, `config.Weak` and `config.Strong`.
"""

import math
from typing import Literal

import torch
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import below, chance, in_blocks, uniform, where_drawn
from spice_cli.ops.color_jitter import color_jitter, grayscale
from spice_cli.ops.geometry import shift_flip
from spice_cli.ops.geometry_crop import random_resized_crop
from spice_cli.ops.geometry_filter import blur_weights, separable
from spice_cli.ops.randaugment import cutout as cut_square
from spice_cli.ops.randaugment import rand_augment

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
GRAY = (125.0, 123.0, 114.0)
"""FixMatch's fill, near the mean colour of photographs."""


def plain(images: Tensor) -> Tensor:
    """Return uint8 images (n, 3, h, w) as float32 with ImageNet's normalisation."""
    return _normalise(images.float().mul_(1 / 255))


def contrastive(
    images: Tensor,
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
) -> Tensor:
    """Return one random view (n, 3, s, s) of each uint8 image, s being `size` or the image's side.

    Resized crop with mirroring (and rotation by up to `rotate` degrees), colour jitter with
    probability `jitter`, grey with probability `gray`, Gaussian blur with probability `blur` and
    sigma in pixels uniform in `blur_sigma`, normalisation: the views of MoCo v2
    (https://arxiv.org/abs/2003.04297) and SimCLR (https://arxiv.org/abs/2002.05709).
    """
    n, _, height, width = images.shape
    views = random_resized_crop(
        images,
        generator,
        size=(size, size) if size else (height, width),
        area=crop,
        ratio=ratio,
        flip=flip,
        rotate=rotate,
    )
    if jitter > 0:
        views = color_jitter(
            views,
            generator,
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=hue,
            probability=jitter,
        )
    if gray > 0:
        views = where_drawn(views, chance(n, gray, generator), grayscale)
    if blur > 0:
        sigma = uniform(n, *blur_sigma, generator)
        radius = min(math.ceil(3 * blur_sigma[1]), *(side - 1 for side in views.shape[2:]))
        views = where_drawn(
            views, chance(n, blur, generator), lambda x, s: gaussian_blur(x, s, radius), sigma
        )
    return _normalise(views)


def weak(images: Tensor, generator: Generator, *, pad: int, flip: float) -> Tensor:
    """Return uint8 images (n, 3, h, w) shifted by up to `pad` pixels, mirrored, normalised.

    The shift is a random crop of the image padded with black; mirroring has probability `flip`.
    """
    return plain(_shift_flip(images, generator, pad, flip))


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
    if policy == "fixmatch":
        images = rand_augment(images, generator, policy=policy, operations=operations)
        if cutout > 0:
            images = cut_square(images, generator, uniform(n, 0, cutout * width, generator), GRAY)
        return weak(images, generator, pad=pad, flip=flip)
    images = _shift_flip(images, generator, pad, flip)
    views = plain(rand_augment(images, generator, policy=policy, operations=operations))
    largest = round(cutout * width)
    if largest > 0:
        sides = 1 + below(torch.full((n,), float(largest), device=images.device), generator)
        views = cut_square(views, generator, sides, (0.0, 0.0, 0.0))
    return views


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Return float images blurred by `sigma` (n,) pixels, reflected at the border."""
    height, width = images.shape[2:]

    def filtered(images: Tensor, sigma: Tensor) -> Tensor:
        rows = blur_weights(sigma, height, radius)
        columns = rows if height == width else blur_weights(sigma, width, radius)
        return separable(images, rows, columns)

    return in_blocks(filtered, images, sigma)


def _shift_flip(images: Tensor, generator: Generator, pad: int, flip: float) -> Tensor:
    n = len(images)
    places = torch.full((2, n), 2.0 * pad + 1, device=images.device)
    down, right = below(places, generator).long()
    return shift_flip(images, down, right, chance(n, flip, generator), pad)


def _normalise(images: Tensor) -> Tensor:
    mean, std = images.new_tensor(MEAN), images.new_tensor(STD)
    return images.sub_(mean[:, None, None]).div_(std[:, None, None])
