"""Linear filters along rows and columns as matrix products, each image with its own weights."""

from functools import cache

import torch
from torch import Tensor


def separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return rows (n, H, h) @ images (n, c, h, w) @ columns (n, W, w) transposed, (n, c, H, W)."""
    n, channels, height, width = images.shape
    wide = images.reshape(n, channels * height, width) @ columns.mT
    return rows[:, None] @ wide.view(n, channels, height, -1)


def resize_weights(start: Tensor, length: Tensor, side: int, size: int, mirror: Tensor) -> Tensor:
    """Return weights (n, size, side) that stretch the span `start, length` (n,) to `size` pixels.

    `start` and `length` are in pixels of a line of `side`. Weights are the triangle filter of
    antialiased bilinear resizing (`torch.nn.functional.interpolate(..., antialias=True)`), in
    reverse where `mirror` (n,) is not 0.
    """
    place = torch.arange(size, device=start.device) + 0.5
    place = torch.where(mirror[:, None] > 0, size - place, place)
    scale = (length / size)[:, None]
    centre = start[:, None] + place * scale
    pixel = torch.arange(side, device=start.device) + 0.5
    reach = scale.clamp(min=1)[..., None]
    weights = (pixel - centre[..., None]).div_(reach).abs_().neg_().add_(1).clamp_(min=0)
    offset = pixel - start[:, None]
    weights *= ((offset > 0) & (offset < length[:, None]))[:, None]
    return weights.div_(weights.sum(2, keepdim=True))


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Return float images blurred by `sigma` (n,) pixels, reflected at the border."""
    height, width = images.shape[2:]
    rows = blur_weights(sigma, height, radius)
    columns = rows if height == width else blur_weights(sigma, width, radius)
    return separable(images, rows, columns)


def blur_weights(sigma: Tensor, side: int, radius: int) -> Tensor:
    """Return weights (n, side, side) of a Gaussian blur of `sigma` (n,) pixels cut at `radius`.

    The line is continued by reflection; `radius` must be below `side`.
    """
    distance = torch.arange(-radius, radius + 1, device=sigma.device)
    taps = (distance / sigma[:, None]).square_().mul_(-0.5).softmax(1)
    return (taps @ _reflected(side, radius, sigma.device)).view(-1, side, side)


@cache
def _reflected(side: int, radius: int, device: torch.device) -> Tensor:
    """Return (2 * radius + 1, side * side): 1 where a tap at a pixel reads the other pixel."""
    pixel = torch.arange(side, device=device)
    read = pixel + torch.arange(-radius, radius + 1, device=device)[:, None]
    read = side - 1 - (read.abs() - (side - 1)).abs()
    return (read[..., None] == pixel).flatten(1).float()
