"""Random resized crops of a batch, each image with its own crop, flip and rotation."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import below, chance, in_blocks, uniform
from spice_cli.ops.geometry import affine
from spice_cli.ops.geometry_filter import resize_weights, separable

TRIES = 10


def crop_boxes(
    n: int,
    height: int,
    width: int,
    generator: Generator,
    *,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Tensor:
    """Return n boxes (n, 4) in whole pixels, as floats: top, left, height, width.

    The law of `torchvision.transforms.v2.RandomResizedCrop`: share of the area uniform, width over
    height log-uniform, the first of ten tries that fits, else the largest central box whose aspect
    lies within `ratio`.
    """
    share = uniform(TRIES * n, *area, generator).view(TRIES, n) * (height * width)
    aspect = uniform(TRIES * n, math.log(ratio[0]), math.log(ratio[1]), generator).exp()
    aspect = aspect.view(TRIES, n)
    wide, high = (share * aspect).sqrt_().round_(), (share / aspect).sqrt_().round_()
    fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
    first = fits.byte().argmax(0, keepdim=True)
    fit = fits.any(0)
    shape = min(max(width / height, ratio[0]), ratio[1])
    high = torch.where(fit, high.gather(0, first)[0], float(min(height, round(width / shape))))
    wide = torch.where(fit, wide.gather(0, first)[0], float(min(width, round(height * shape))))
    top = torch.where(fit, below(height - high + 1, generator), ((height - high) / 2).floor())
    left = torch.where(fit, below(width - wide + 1, generator), ((width - wide) / 2).floor())
    return torch.stack([top, left, high, wide], dim=1)


def resized_crop(images: Tensor, boxes: Tensor, mirror: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the boxes (n, 4) of float images as (n, c, *size), mirrored where `mirror` (n,).

    Bilinear with antialiasing, as `torchvision.transforms.v2.functional.resized_crop`. Antialiasing
    changes nothing unless a box is larger than `size`: then it is a matrix product, else sampling.
    """
    top, left, high, wide = boxes.unbind(1)
    height, width = images.shape[2:]
    upright = torch.zeros_like(mirror)
    if size[0] < height or size[1] < width:
        rows = resize_weights(top, high, height, size[0], upright)
        return separable(images, rows, resize_weights(left, wide, width, size[1], mirror))
    grid = boxes.new_empty(len(boxes), 2, *size)
    grid[:, 0] = _places(left, wide, width, size[1], mirror)[:, None]
    grid[:, 1] = _places(top, high, height, size[0], upright)[..., None]
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), align_corners=False)


def rotated_crop(
    images: Tensor, boxes: Tensor, mirror: Tensor, degrees: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return crops as `resized_crop` does, turned counter-clockwise by `degrees` (n,).

    Crop, mirror and rotation are one sampling grid, bilinear without antialiasing; corners show
    what lies around the box, and 0 beyond the image.
    """
    top, left, high, wide = boxes.unbind(1)
    height, width = images.shape[2:]
    x, y = torch.where(mirror, -wide, wide) / size[1], high / size[0]
    to_x, to_y = left + (wide - width) / 2, top + (high - height) / 2
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    matrices = torch.stack([x * cos, -x * sin, to_x, y * sin, y * cos, to_y], dim=1)
    return affine(images, matrices.view(-1, 2, 3), size, "bilinear")


def random_resized_crop(
    images: Tensor,
    generator: Generator,
    *,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
    rotate: float,
) -> Tensor:
    """Return uint8 images (n, c, h, w) as random crops (n, c, *size), floats in 0 to 1.

    Mirrored with probability `flip`, turned by up to `rotate` degrees.
    """
    n, _, height, width = images.shape
    boxes = crop_boxes(n, height, width, generator, area=area, ratio=ratio)
    mirror = chance(n, flip, generator)
    if rotate == 0:
        return in_blocks(lambda x, b, m: resized_crop(_unit(x), b, m, size), images, boxes, mirror)
    degrees = uniform(n, -rotate, rotate, generator)
    return in_blocks(
        lambda x, b, m, d: rotated_crop(_unit(x), b, m, d, size), images, boxes, mirror, degrees
    )


def _unit(images: Tensor) -> Tensor:
    return images.float().mul_(1 / 255)


def _places(start: Tensor, length: Tensor, side: int, size: int, mirror: Tensor) -> Tensor:
    share = (torch.arange(size, device=start.device) + 0.5) / size
    share = torch.where(mirror[:, None], 1 - share, share)
    start, length = start[:, None], length[:, None]
    place = torch.clamp(start + share * length, start + 0.5, start + length - 0.5)
    return place * (2 / side) - 1
