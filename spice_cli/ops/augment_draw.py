"""Draws for each image of a batch, and operations for the images that drew them."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

BLOCK = 64


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Return n numbers (n,) drawn uniformly from low to high."""
    return _rand(n, generator).mul_(high - low).add_(low)


def below(counts: Tensor, generator: Generator) -> Tensor:
    """Return whole numbers, as floats shaped like `counts`, uniform in 0 to counts - 1."""
    drawn = torch.rand(counts.shape, generator=generator, device=counts.device)
    return torch.minimum((drawn * counts).floor_(), counts - 1)


def chance(n: int, probability: float, generator: Generator) -> Tensor:
    """Return booleans (n,), each true with the given probability."""
    return _rand(n, generator) < probability


def pixelwise(values: Tensor) -> Tensor:
    """Return one value an image (n,) shaped (n, 1, 1, 1), to broadcast over (n, c, h, w)."""
    return values[:, None, None, None]


def where_drawn(
    images: Tensor, drawn: Tensor, operation: Callable[..., Tensor], *parameters: Tensor
) -> Tensor:
    """Return images (n, c, h, w) with `operation` applied where `drawn` (n,) is true.

    `parameters` hold one row an image. On the CPU only the drawn images are computed and `images`
    is overwritten; elsewhere all are computed and then selected, which spares waiting for the
    device.
    """
    if images.device.type != "cpu":
        return torch.where(pixelwise(drawn), operation(images, *parameters), images)
    index = drawn.nonzero().squeeze(1)
    if index.numel():
        chosen = (values.index_select(0, index) for values in parameters)
        images[index] = operation(images.index_select(0, index), *chosen)
    return images


def in_blocks(operation: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return `operation(*tensors)`, row by row independent, computed in small blocks on the CPU.

    Blocks fit the cache, and their memory is reused rather than asked for anew each time.
    """
    if tensors[0].device.type != "cpu" or len(tensors[0]) <= BLOCK:
        return operation(*tensors)
    parts = zip(*(t.split(BLOCK) for t in tensors), strict=True)  # type: ignore[no-untyped-call]
    return torch.cat([operation(*part) for part in parts])


def _rand(n: int, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)
