"""Draws for each image of a batch, and operations for the images that drew them."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate

import torch
from torch import Generator, Tensor

Group = slice | Tensor
"""Rows of a batch: a slice, or booleans (n,)."""
BLOCK = 512 * 3 * 32 * 32
"""Values of the images that are computed together on the CPU: few enough for the cache."""


@cache
def constant(values: tuple[object, ...], device: torch.device) -> Tensor:
    """Return nested tuples of numbers as a tensor, copied to the device once a process."""
    return torch.tensor(values, device=device)


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
    return values.view(-1, 1, 1, 1)


def where_drawn(
    images: Tensor, drawn: Group, operation: Callable[..., Tensor], *parameters: Tensor
) -> Tensor:
    """Return images (n, c, h, w), perhaps overwritten, with `operation` applied to those drawn.

    `parameters` hold one row an image; the operation may overwrite its images. On the CPU only the
    drawn images are computed, without a copy of them if they are a slice; elsewhere all are
    computed and then selected, which spares waiting for the device.
    """
    if isinstance(drawn, slice):
        part = images[drawn]
        if len(part) > 0:
            changed = operation(part, *(values[drawn] for values in parameters))
            if changed is not part:
                part.copy_(changed)
    elif images.device.type != "cpu":
        changed = operation(images.clone(), *parameters)
        return torch.where(pixelwise(drawn), changed, images)
    else:
        index = drawn.nonzero().squeeze(1)
        chosen = (values.index_select(0, index) for values in parameters)
        if len(index) > 0:
            images[index] = operation(images.index_select(0, index), *chosen)
    return images


def by_kind(
    images: Tensor, kinds: Tensor, operations: Sequence[Callable[..., Tensor]], parameters: Tensor
) -> Tensor:
    """Return images (n, c, h, w) after `operations[kind](image, parameter)` of each round.

    `kinds` (r, n) hold whole numbers from 0, and `parameters` (r, n) numbers; an image whose kind
    has no operation stays as it is in that round. Images are sorted on the CPU, to have slices.
    """
    if images.device.type != "cpu":
        for kind, own in zip(kinds, parameters, strict=True):
            for k, operation in enumerate(operations):
                images = where_drawn(images, kind == k, operation, own)
        return images
    place = torch.arange(len(images))
    for kind, own in zip(kinds, parameters, strict=True):
        order = kind.argsort(stable=True)
        sizes = torch.bincount(kind, minlength=len(operations) + 1).tolist()
        images, own = images.index_select(0, place[order]), own[order]
        for operation, group in zip(operations, _slices(sizes), strict=False):
            images = where_drawn(images, group, operation, own)
        place = order.argsort()
    return images.index_select(0, place)


def in_blocks(
    operation: Callable[..., Tensor], kind: Tensor, kinds: int, *tensors: Tensor
) -> Tensor:
    """Return `operation(groups, *tensors)`, row by row independent, in small blocks on the CPU.

    Blocks fit the cache, and their memory is reused rather than asked for anew each time. `groups`
    are the rows of each `kind` (n,), whole numbers below `kinds`; those of a block are slices.
    """
    if tensors[0].device.type != "cpu":
        return operation([kind == k for k in range(kinds)], *tensors)
    limit = max(1, BLOCK // max(1, tensors[0][0].numel()))
    blocks = -(-len(kind) // limit)
    key = kind + torch.arange(len(kind)) // limit * kinds
    order = key.argsort(stable=True)
    counts = torch.bincount(key, minlength=blocks * kinds).view(blocks, kinds).tolist()
    columns = (t.index_select(0, order).split_with_sizes([sum(c) for c in counts]) for t in tensors)
    parts = zip(map(_slices, counts), *columns, strict=True)
    done = [operation(*part) for part in parts]
    whole = torch.cat(done) if len(done) > 1 else done[0]
    return whole.index_select(0, order.argsort())


def all_but(group: Group) -> Group:
    """Return the rows that are not in the last of the groups of `in_blocks`."""
    return slice(0, group.start) if isinstance(group, slice) else ~group


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _rand(n: int, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device)
