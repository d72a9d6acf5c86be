"""Whether an exported network says of images what the network says that it was made of."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from spice_cli.errors import InvalidError, SpiceError
from spice_cli.run.store import Run
from spice_cli.stages.exported import Outputs
from spice_cli.stages.images import images_of
from spice_cli.track import Track

LOOKED_AT, TOLERANCE, BETWEEN = 256, 1e-4, 0.02


@torch.no_grad()
def difference(
    ours: Callable[[Tensor], Outputs], theirs: Callable[[Tensor], Outputs], images: Tensor
) -> float:
    """Return the largest difference of probabilities or features; infinite if clusters differ.

    One image goes by itself, the others together. A few may lie between two clusters.
    """
    worst, apart = 0.0, 0
    for part in filter(len, (images[:1], images[1:])):
        mine, other = ours(part), theirs(part)
        for one, two in zip(mine[:2], other[:2], strict=True):
            worst = max(worst, float((one - two).abs().max()))
        apart += int((mine[2] != other[2]).sum())
    return worst if apart <= BETWEEN * len(images) else math.inf


def pictures(run: Run, side: int, track: Track) -> Tensor:
    """Return pixels (n, 3, side, side) of the run's images, or of noise where they are gone."""
    generator = torch.Generator().manual_seed(0)
    try:
        images = images_of(run, track.say).images
    except SpiceError:
        return torch.rand(LOOKED_AT, 3, side, side, generator=generator)
    rows = torch.randperm(len(images), generator=generator)[:LOOKED_AT]
    return images[rows].float() / 255


def judge(found: float, file: Path) -> None:
    """Raise InvalidError where outputs differ too much for `file` to be kept."""
    if not found <= TOLERANCE:
        raise InvalidError(
            f"`{file}` was not written: its outputs would differ from ours by {found:.1e}"
        )
