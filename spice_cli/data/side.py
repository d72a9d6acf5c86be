"""The one size, square, that all images of a data set get."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Say
from spice_cli.errors import InvalidError

DEFAULT, SMALLEST, LARGEST = 96, 4, 1024
Sizes = set[tuple[int, int]]
"""Widths and heights in pixels."""


def choose_side(train: Sizes, test: Sizes, spec: DataSpec, say: Say) -> int:
    """Return the side in pixels: the one asked for, else the one all images share, else 96.

    Raises InvalidError where all train images share one size and all test images another.
    """
    if spec.size:
        return spec.size
    if len(train) == len(test) == 1 and train != test:
        ours, theirs = _text(train), _text(test)
        raise InvalidError(
            f"train images are {ours} pixels and test images {theirs}",
            hint=f"resize both with `--size {min(map(min, train | test))}`",
        )
    sizes = train | test
    width, height = min(sizes)
    if len(sizes) == 1 and width == height and SMALLEST <= width <= LARGEST:
        return width
    found = f"images are {_text(sizes)}" if len(sizes) == 1 else f"images have {len(sizes)} sizes"
    say(
        f"{found}: short sides are resized to {DEFAULT} pixels and the centre cropped "
        "(choose another side with `--size`)"
    )
    return DEFAULT


def fit(images: Tensor, side: int) -> Tensor:
    """Return (n, 3, side, side) uint8, contiguous: the centre square of (n, 3, h, w), resized.

    Resizing is antialiased and bicubic, Pillow's to within one level.
    """
    return _fill(torch.empty(len(images), 3, side, side, dtype=torch.uint8), images)


def fit_all(
    train: Tensor, test: Tensor | None, spec: DataSpec, say: Say, *, before: Tensor | None = None
) -> Tensor:
    """Return both splits in one (n, 3, side, side) uint8 tensor, train rows first.

    Only the images `before`, where there are any, come ahead of them. Images that are all there is
    and have the size already are not copied.
    """
    sizes = [{(part.shape[3], part.shape[2])} for part in (train, test) if part is not None]
    side = choose_side(sizes[0], sizes[1] if test is not None else set(), spec, say)
    parts = [part for part in (before, train, test) if part is not None]
    if len(parts) == 1 and train.shape[2:] == (side, side):
        return train.contiguous()
    counts = [len(part) for part in parts]
    out = torch.empty(sum(counts), 3, side, side, dtype=torch.uint8)
    for part, target in zip(parts, torch.split(out, counts), strict=True):
        _fill(target, part)
    return out


def _fill(out: Tensor, images: Tensor) -> Tensor:
    side = out.shape[-1]
    for part, target in zip(torch.split(images, 1024), torch.split(out, 1024), strict=True):
        square = _centre(part)
        if square.shape[-1] != side:
            square = interpolate(square, (side, side), mode="bicubic", antialias=True)
        target.copy_(square)
    return out


def _centre(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return images[:, :, top : top + short, left : left + short]


def _text(sizes: Sizes) -> str:
    width, height = min(sizes)
    return f"{width} x {height}"
