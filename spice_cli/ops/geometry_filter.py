"""Linear filters along rows and columns as matrix products, each image with its own weights."""

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
    reverse where `mirror` (n,) is true.
    """
    place = torch.arange(size, device=start.device) + 0.5
    place = torch.where(mirror[:, None], size - place, place)
    scale = (length / size)[:, None]
    centre = start[:, None] + place * scale
    pixel = torch.arange(side, device=start.device) + 0.5
    reach = scale.clamp(min=1)[..., None]
    weights = (pixel - centre[..., None]).div_(reach).abs_().neg_().add_(1).clamp_(min=0)
    offset = pixel - start[:, None]
    weights *= ((offset > 0) & (offset < length[:, None]))[:, None]
    return weights.div_(weights.sum(2, keepdim=True))


def blur_weights(sigma: Tensor, side: int, radius: int) -> Tensor:
    """Return weights (n, side, side) of a Gaussian blur of `sigma` (n,) pixels cut at `radius`.

    The line is continued by reflection; `radius` must be below `side`.
    """
    pixel = torch.arange(side, device=sigma.device)
    beyond = torch.arange(-radius, side + radius, device=sigma.device)
    distance = (beyond - pixel[:, None]).float()
    power = (distance / sigma[:, None, None]).square_().mul_(-0.5)
    weights = power.masked_fill_(distance.abs() > radius, float("-inf")).softmax(2)
    reflected = (side - 1 - (beyond.abs() - (side - 1)).abs())[:, None] == pixel
    return weights @ reflected.float()
