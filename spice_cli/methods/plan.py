"""What a pretraining method is told of the training it is for, and what it may ask of it.

A method is an `nn.Module` made as `Method(backbone, Method.Config(...), plan)`, with

- `Config`, a `Frozen` of its own settings; `backbone`, which is kept; `crops`, the views of each
  image (an attribute); `uses_clusters = True` on the class where it needs `plan.clusters`: only
  then is it set;
- `forward(views (v, n, 3, h, w), rows (n,), generator) -> loss ()`, where `rows` int64 are the
  images' places in the training set;
- `faults() -> list[str]`, settings known to fail, a sentence each; it raises UsageError for what
  cannot work;

and where it wants them

- `begin(epoch, embed, generator)` before every epoch, counted from 1: new targets;
- `weights() -> (n,)`, how often images are drawn in the epoch to come, with replacement; or none;
- `rates() -> dict[str, Rate]`, for the parameters whose names begin with a key, the longest key
  that fits; the key "" fits all;
- `leaves(embed) -> dict[str, Tensor]`, what it leaves beside the backbone for all images, test
  images after the training ones: `projections` (m, p), unit rows to be clustered by k-means, or
  `probs` (m, k), or both.

All that outlives a step is in parameters and buffers of fixed shape, counters and momenta that
change among them: so a stage can go on where it was interrupted, and be compiled. `forward` never
waits for the device.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from spice_cli.ops.stretch import WHOLE, Stretch

Embed = Callable[[Callable[[Tensor], Tensor]], Tensor]
"""Given a map of pixels (b, 3, h, w) to rows (b, p): the rows (n, p) float32 of all images asked
about, unaugmented, with the method in evaluation mode and without gradient."""


@dataclass(frozen=True)
class Plan:
    """The training to come."""

    images: int
    """Training images (n)."""
    clusters: int | None
    """What the user asked for, else the data set's classes; a number where `uses_clusters`, none
    elsewhere."""
    batch: int
    """Images a step."""
    epochs: int
    steps: int
    """Steps an epoch."""
    stretch: Stretch = WHOLE
    """The images that this process goes through to cluster all, where others do the rest."""


@dataclass(frozen=True)
class Rate:
    """The learning rate of some parameters, beside that of all others."""

    factor: float = 1.0
    """Multiple of the others' highest rate."""
    fixed: bool = False
    """Neither warmed up nor decayed."""
