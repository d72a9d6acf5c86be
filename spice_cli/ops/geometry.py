"""Affine operations on batches, each image with its own matrix.

A matrix (2, 3) maps a pixel of the result to the place in the image that it shows, both in pixels
from the image's centre. Directions are those of `torchvision.transforms.v2.functional`.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from spice_cli.ops.augment_draw import below, chance, constant


def affine(images: Tensor, matrices: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Return float images (n, c, h, w) moved by matrices (n, 2, 3) as (n, c, *size).

    `mode` is "nearest" or "bilinear"; 0 lies outside the image.
    """
    across = _centred(size[1], matrices.device)
    down = _centred(size[0], matrices.device)
    height, width = images.shape[2:]
    half = constant((width / 2, height / 2), matrices.device)
    turn, move = (matrices / half[:, None]).split_with_sizes([2, 1], dim=2)
    columns, rows = turn[:, :, :1] * across, turn[:, :, 1:] * down + move
    grid = columns[:, :, None] + rows[..., None]
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode=mode, align_corners=False)


def nearest(images: Tensor, matrices: Tensor) -> Tensor:
    """Return float images (n, c, h, w) moved by matrices (n, 2, 3), of nearest pixels."""
    height, width = images.shape[2:]
    return affine(images, matrices, (height, width), "nearest")


def compose(first: Tensor, then: Tensor) -> Tensor:
    """Return the matrices (n, 2, 3) that move images by `first`, and what comes out by `then`."""
    by_x, by_y, move = first.split_with_sizes([1, 1, 1], dim=2)
    x, y = then.split_with_sizes([1, 1], dim=1)
    return torch.addcmul(by_x * x, by_y, y) + F.pad(move, (2, 0))


def rotation(degrees: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) that turn images counter-clockwise about their centre."""
    angle = torch.deg2rad(degrees)
    zero = torch.zeros_like(angle)
    return _matrices(angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero)


def shear_x(share: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) that move each row left by `share` of its distance from the top."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _matrices(one, share, share * (height / 2), zero, one, zero)


def shear_y(share: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) that move each column up by `share` of its distance from left."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _matrices(one, zero, zero, share, one, share * (width / 2))


def translate_x(share: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) that move images right by `share` of their width."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _matrices(one, zero, -share * width, zero, one, zero)


def translate_y(share: Tensor, height: int, width: int) -> Tensor:
    """Return matrices (n, 2, 3) that move images down by `share` of their height."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _matrices(one, zero, zero, zero, one, -share * height)


def window(down: Tensor, right: Tensor, mirror: Tensor) -> Tensor:
    """Return matrices (n, 2, 3) of windows `down` and `right` (n,) pixels into images.

    Where `mirror` (n,) is true, into their mirror images.
    """
    side = torch.where(mirror, -1.0, 1.0)
    one, zero = torch.ones_like(side), torch.zeros_like(side)
    return _matrices(side, zero, side * right, zero, one, down * one)


def draw_windows(n: int, generator: Generator, *, pad: int, flip: float) -> Tensor:
    """Return the matrices of n windows shifted by up to `pad` whole pixels each way.

    A window shows the mirror image with probability `flip`.
    """
    places = torch.full((2, n), 2.0 * pad + 1, device=generator.device)
    down, right = below(places, generator) - pad
    return window(down, right, chance(n, flip, generator))


def _centred(length: int, device: torch.device) -> Tensor:
    return torch.arange(length, device=device) - (length - 1) / 2


def _matrices(*entries: Tensor) -> Tensor:
    return torch.stack(entries, dim=1).view(-1, 2, 3)
