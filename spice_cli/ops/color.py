"""Colour operations of RandAugment on whole float values in 0 to 255, one magnitude an image.

Each agrees with the function of the same purpose in `torchvision.transforms.v2.functional` on
uint8, the tensor version of Pillow's `ImageOps` and `ImageEnhance`. A `factor` (n,) in 0 to 1
blends: 0 gives the degenerate image, 1 the image itself.
"""

import torch
from torch import Tensor

from spice_cli.ops.augment_draw import pixelwise


def luma(images: Tensor) -> Tensor:
    """Return the brightness (n, 1, h, w) of float images (n, 3, h, w) as ITU-R BT.601 has it."""
    red, green, blue = images.split_with_sizes([1, 1, 1], dim=1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def mean_gray(gray: Tensor) -> Tensor:
    """Return the mean (n, 1, 1, 1) of each grey image (n, 1, h, w).

    Of rows, then of their means: the mean of one large image at once would be summed in an order
    that depends on the number of threads.
    """
    return gray.mean(3, keepdim=True).mean(2, keepdim=True)


def autocontrast(images: Tensor) -> Tensor:
    """Return images whose channels each span 0 to 255; constant channels stay."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    scale = torch.where(flat, 1.0, (high - low) * (1 / 255))
    return (images - torch.where(flat, 0.0, low)).div_(scale).floor_()


def equalize(images: Tensor) -> Tensor:
    """Return images whose channels have flat histograms; exactly Pillow's whole numbers."""
    values = images.flatten(2).long()
    n, channels, pixels = values.shape
    one = torch.ones((), dtype=torch.int32, device=images.device).expand_as(values)
    counts = one.new_zeros(n, channels, 256).scatter_add_(2, values, one).float()
    brightest = counts.gather(2, images.flatten(2).amax(2, keepdim=True).long())
    step = ((pixels - brightest) / 255).floor_()
    darker = counts.cumsum(2).sub_(counts)
    table = darker.add_((step / 2).floor_()).div_(step.clamp(min=1)).floor_().clamp_(max=255)
    same = torch.arange(256.0, device=images.device)
    return torch.where(step == 0, same, table).gather(2, values).view_as(images)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Return images with the values at or above the threshold (n,) inverted."""
    above = torch.add(pixelwise((1 - threshold.ceil()) * 255), images, alpha=255)
    return above.clamp_(0, 255).sub_(images).abs_()


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Return images that keep the highest `bits` (n,), the whole part of it, of a value."""
    step = pixelwise(torch.exp2(8 - bits.floor()))
    return (images * (1 / step)).floor_().mul_(step)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Return images blended with their grey version."""
    return _blend(luma(images).floor_(), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Return images blended with their mean grey."""
    return _blend(mean_gray(luma(images).floor_()), images, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Return images blended with black."""
    return (images * pixelwise(factor)).floor_()


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Return images blended with a smoothed version; their rim stays."""
    width, flat = images.shape[3], images.flatten()
    beside = (flat[:-2] + flat[1:-1]).add_(flat[2:])
    box = (beside[: -2 * width] + beside[width:-width]).add_(beside[2 * width :])
    smooth = images.clone()
    inner = smooth.view(-1)[width + 1 : -width - 1]
    inner.mul_(4).add_(box).div_(13).round_()
    output = images.clone()
    inside = (..., slice(1, -1), slice(1, -1))
    output[inside] = _blend(smooth, images, factor)[inside]
    return output


def _blend(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    share = pixelwise(factor)
    return (images * share).add_(degenerate * (1 - share)).floor_()
