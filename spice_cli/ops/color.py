"""Colour operations of RandAugment on uint8 images, with one magnitude an image.

Each agrees with the function of the same purpose in `torchvision.transforms.v2.functional`, the
tensor version of Pillow's `ImageOps` and `ImageEnhance`. A `factor` (n,) blends: 0 gives the
degenerate image, 1 the image itself.
"""

import torch
from torch import Tensor

from spice_cli.ops.augment_draw import pixelwise


def luma(images: Tensor) -> Tensor:
    """Return the brightness (n, 1, h, w) of float images (n, 3, h, w) as ITU-R BT.601 has it."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def autocontrast(images: Tensor) -> Tensor:
    """Return uint8 images whose channels each span 0 to 255; constant channels stay."""
    values = images.float()
    low, high = values.amin((2, 3), keepdim=True), values.amax((2, 3), keepdim=True)
    flat = high == low
    scale = torch.where(flat, 1.0, (high - low) * (1 / 255))
    return ((values - torch.where(flat, 0.0, low)) / scale).clamp_(0, 255).to(torch.uint8)


def equalize(images: Tensor) -> Tensor:
    """Return uint8 images whose channels have flat histograms; exactly Pillow's whole numbers."""
    values = images.flatten(2).long()
    n, channels, pixels = values.shape
    one = torch.ones((), dtype=torch.int32, device=images.device).expand_as(values)
    counts = one.new_zeros(n, channels, 256).scatter_add_(2, values, one)
    brightest = counts.gather(2, values.amax(2, keepdim=True))
    step = (pixels - brightest) // 255
    darker = counts.cumsum(2, dtype=torch.int32) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp_(max=255)
    same = torch.arange(256, dtype=torch.int32, device=images.device)
    table = torch.where(step == 0, same, table).to(torch.uint8)
    return table.gather(2, values).view_as(images)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Return uint8 images with the values at or above the threshold (n,) inverted."""
    inverted = (images.float() >= pixelwise(threshold)).to(torch.uint8)
    return images ^ inverted.mul_(255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Return uint8 images that keep the highest `bits` (n,), the whole part of it, of a value."""
    kept = 256 - torch.exp2(8 - bits.floor())
    return images & pixelwise(kept).to(torch.uint8)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Return uint8 images blended with their grey version."""
    values = images.float()
    return _blend(luma(values).floor_(), values, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Return uint8 images blended with their mean grey."""
    values = images.float()
    return _blend(luma(values).floor_().mean((1, 2, 3), keepdim=True), values, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Return uint8 images blended with black."""
    return (images.float() * pixelwise(factor)).clamp_(0, 255).to(torch.uint8)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Return uint8 images blended with a smoothed version; their rim stays."""
    values = images.float()
    inner = values[:, :, 1:-1, 1:-1]
    box = (values[:, :, :-2] + values[:, :, 1:-1]).add_(values[:, :, 2:])
    box = (box[..., :-2] + box[..., 1:-1]).add_(box[..., 2:])
    smooth = box.add_(inner, alpha=4).div_(13).round_()
    output = images.clone()
    output[:, :, 1:-1, 1:-1] = _blend(smooth, inner, factor)
    return output


def _blend(degenerate: Tensor, values: Tensor, factor: Tensor) -> Tensor:
    share = pixelwise(factor)
    return (values * share).add_(degenerate * (1 - share)).clamp_(0, 255).to(torch.uint8)
