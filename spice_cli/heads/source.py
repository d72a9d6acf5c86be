"""What a clustering head is given, what it leaves, and what it may ask for beforehand.

A head method is a class with a `Config` (its own settings, none named as one of `SelfLabel`) and

- `__init__(source, config: SelfLabel, own: Config, generator)`;
- `epochs: int`, rounds to do, and `images: int`, how many each of them advances by;
- `parts: Parts`, all that the next epoch needs, in fixed shapes;
- `epoch(number, generator, advance) -> dict`: one round, counted from 1, as a log record: "loss" at
  least, and what `quality` gives;
- `result() -> Result`;
- `classifier(state, losses, own, dtype) -> nn.Module`, a static method: what `result` chose, from
  what it left (names without `heads.`), as a module from unit rows (b, d) to probabilities (b, k)
  float32, products taken in `dtype`; MissingError where that is more than `heads.*`;
- optionally `wants(own, facts) -> Wants`, a static method: what it settles before it starts;
- optionally `remedy: dict`, settings of its own that keep all clusters in use;
- optionally `uneven: dict`, those for clusters of very different size (`--balance none`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from spice_cli.heads.deal import ALL, Deal
from spice_cli.heads.neighborhoods import neighborhoods
from spice_cli.models.backbone import Backbone
from spice_cli.ops.stretch import WHOLE, Stretch

Draw = Callable[[Tensor, torch.Generator], Tensor]
"""One random view of each of some rows (b,), or of some images (b, 3, h, w)."""
PairOfViews = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From rows (b,) to the features of one weak and one strong view of each, (b, d) both."""
Parts = Mapping[str, nn.Module | torch.optim.Optimizer]
Advance = Callable[[int], None]
"""Told how many images more are done."""


@dataclass(frozen=True)
class Pixels:
    """The images themselves, for methods that train the backbone."""

    images: Tensor
    """(m, 3, h, w) uint8 of all images, training rows first; in the host's memory where the
    device has no room for them, so that `ops/residence.py` takes rows."""
    backbone: Callable[[], Backbone]
    """Makes a copy of the pretrained backbone: on the device, channels last, evaluation mode."""
    weak: Draw
    """uint8 images (b, 3, h, w) from wherever they lie to pixels as the backbone takes them,
    channels last, on its device."""
    strong: Draw
    plain: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Source:
    """What a head may learn from: no labels, no files. All tensors but pixels are on one device."""

    embeddings: Tensor
    """(n, d) float32 unit rows of the training images."""
    everything: Tensor
    """(m, d) of all images, training rows first."""
    clusters: int
    views: PairOfViews
    strong: Draw
    """From rows (b,) to the features (b, d) of one strong view of each, where that is all."""
    neighbors: Callable[[int], Tensor]
    """k to the (n, k) nearest training rows by cosine, itself first: exact, and computed once."""
    spaces: tuple[Tensor, ...] = ()
    """Further feature spaces of all images, (m, d_i) unit rows each."""
    pixels: Pixels | None = None
    left: Mapping[str, Tensor] = field(default_factory=dict)
    """`projections` (m, p) and `probs` (m, k), if `pretrain` left them and the method wants it."""
    dtype: torch.dtype = torch.float32
    """Type of products."""
    deal: Deal = ALL
    """Which of its heads a method trains here, if it wants them dealt out; else all."""
    stretch: Stretch = WHOLE
    """The rows that this process goes through, where others go through the rest."""
    wrap: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = lambda step: step
    """Makes a step of fixed shapes that never waits for the device faster, without changing it."""


@dataclass(frozen=True)
class Result:
    """What a head leaves."""

    probs: Tensor
    """(m, k) float32 of all images."""
    losses: Tensor
    """(h,) float32, what its heads were chosen by; the lowest won."""
    state: Mapping[str, Tensor]
    """`heads.*`, one at least; where the backbone was trained, a `Classifier` as `model.*`."""


@dataclass(frozen=True)
class Facts:
    """What is known of a run before anything is read."""

    images: int
    """Training images n."""
    clusters: int
    features: int
    side: int | None
    """Of the images, in pixels; None where there are none, or not the backbone of these features.
    """
    left: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of `projections` and `probs`, if `pretrain` left them."""


@dataclass(frozen=True)
class Wants:
    """What a method settles from the facts, before it starts."""

    settings: Any
    """Its own config, with what was left open filled in."""
    shared: Mapping[str, JsonValue] = field(default_factory=dict)
    """What settings of `SelfLabel` are under this method where nobody gave them."""
    views: bool = True
    """Whether it takes `Source.views` or `strong`."""
    pixels: bool = False
    left: bool = False
    """Whether it takes `Source.left`."""
    spaces: bool = False
    """Whether it takes `Source.spaces`."""
    dealt: bool = False
    """Whether its heads do not depend on one another, and it heeds `Source.deal`."""
    passes: bool = False
    """Whether its work is one pass over all rows after another, and it heeds `Source.stretch`."""


def plain_source(
    everything: Tensor, clusters: int, *, train: int | None = None, **more: Any
) -> Source:
    """Return the source of embeddings (m, d) alone, whose views are the embeddings themselves.

    The first `train` rows (none: all) are the training images; `more` are further fields.
    """
    embeddings = everything[:train]
    own: dict[str, Any] = {
        "views": lambda rows, generator: (embeddings[rows], embeddings[rows]),
        "strong": lambda rows, generator: embeddings[rows],
        "neighbors": neighborhoods(embeddings, more.get("stretch", WHOLE)),
    }
    return Source(embeddings, everything, clusters, **(own | more))
