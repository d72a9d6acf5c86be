"""Affine operations on batches, each image with its own matrix.

A matrix (2, 3) maps a pixel of the result to the place in the image that it shows, both in pixels
from the image's centre. Directions are those of `torchvision.transforms.v2.functional`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def affine(images: Tensor, matrices: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Return float images (n, c, h, w) moved by matrices (n, 2, 3) as (n, c, *size).

    `mode` is "nearest" or "bilinear"; 0 lies outside the image.
    """
    across = _centred(size[1], matrices.device)
    down = _centred(size[0], matrices.device)
    height, width = images.shape[2:]
    half = matrices.new_tensor([width / 2, height / 2])
    turn, move = (matrices / half[:, None]).split_with_sizes([2, 1], dim=2)
    columns, rows = turn[:, :, :1] * across, turn[:, :, 1:] * down + move
    grid = columns[:, :, None] + rows[..., None]
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode=mode, align_corners=False)


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


def shift_flip(images: Tensor, down: Tensor, right: Tensor, mirror: Tensor, pad: int) -> Tensor:
    """Return windows (n, c, h, w) into images with `pad` rows and columns of 0 on all sides.

    Windows start `down` and `right` (n,), integers in 0 to 2 * pad, into the padded image, or into
    its mirror image where `mirror` (n,) is true.
    """
    _, _, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))
    both = torch.stack([padded, padded.flip(3)])
    windows = both.unfold(3, height, 1).unfold(4, width, 1)
    rows = torch.arange(len(images), device=images.device)
    return windows[mirror.long(), rows, :, down, right].contiguous()


def _centred(length: int, device: torch.device) -> Tensor:
    return torch.arange(length, device=device) - (length - 1) / 2


def _matrices(*entries: Tensor) -> Tensor:
    return torch.stack(entries, dim=1).view(-1, 2, 3)
