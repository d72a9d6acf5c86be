"""Random resized crops of a batch, each image with its own crop, flip and rotation."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import below, uniform
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


def crop_sampler(
    boxes: Tensor,
    mirror: Tensor,
    degrees: Tensor | None,
    shape: tuple[int, int],
    size: tuple[int, int],
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    """Return a function of float images (n, c, *shape) and of the tensor (n, ...) beside it.

    The function gives the boxes (n, 4) as (n, c, *size), mirrored where `mirror` (n,), bilinear
    with antialiasing, as `torchvision.transforms.v2.functional.resized_crop`. Antialiasing changes
    nothing unless `size` is below `shape`: then it is two matrix products, else sampling.

    With `degrees` (n,), crops are also turned counter-clockwise, in the same sampling, without
    antialiasing; corners show what lies around the box, and 0 beyond the image.
    """
    top, left, high, wide = boxes.unbind(1)
    if degrees is not None:
        matrices = _turned(boxes, mirror, degrees, shape, size)
        return partial(affine, size=size, mode="bilinear"), matrices
    if size[0] < shape[0] or size[1] < shape[1]:
        return partial(_reduced, size=size), torch.cat([boxes, mirror[:, None]], dim=1)
    across = _places(left, wide, shape[1], size[1], mirror)
    down = _places(top, high, shape[0], size[0], torch.zeros_like(mirror))
    return partial(_enlarged, size=size), torch.cat([across, down], dim=1)


def _reduced(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    top, left, high, wide, mirror = boxes.unbind(1)
    height, width = images.shape[2:]
    rows = resize_weights(top, high, height, size[0], torch.zeros_like(mirror))
    return separable(images, rows, resize_weights(left, wide, width, size[1], mirror))


def _enlarged(images: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    across, down = places.split_with_sizes([size[1], size[0]], dim=1)
    grid = places.new_empty(len(places), 2, *size)
    grid[:, 0] = across[:, None]
    grid[:, 1] = down[:, :, None]
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), align_corners=False)


def _places(start: Tensor, length: Tensor, side: int, size: int, mirror: Tensor) -> Tensor:
    share = (torch.arange(size, device=start.device) + 0.5) / size
    share = torch.where(mirror[:, None], 1 - share, share)
    start, length = start[:, None], length[:, None]
    place = torch.clamp(start + share * length, start + 0.5, start + length - 0.5)
    return place * (2 / side) - 1


def _turned(
    boxes: Tensor, mirror: Tensor, degrees: Tensor, shape: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    top, left, high, wide = boxes.unbind(1)
    x, y = torch.where(mirror, -wide, wide) / size[1], high / size[0]
    to_x, to_y = left + (wide - shape[1]) / 2, top + (high - shape[0]) / 2
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    matrices = torch.stack([x * cos, -x * sin, to_x, y * sin, y * cos, to_y], dim=1)
    return matrices.view(-1, 2, 3)
