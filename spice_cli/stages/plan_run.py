"""Settings for images that no recipe is about: from how many there are, their size, and the time.

Rules of thumb, each with its reason in a line. They ask for nothing but what is known before
anything is trained, and never for a label.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from spice_cli.ops.costs import affordable, batch_for, epochs_for
from spice_cli.ops.schedule import semi_steps
from spice_cli.stages.pace import Pace

UPDATES = 2_000
"""Updates after which features of small images have settled."""
PRETRAINING, SEMI = 0.6, 0.2
"""Shares of the time."""
TINY, SMALL = 16, 48
"""Sides in pixels: of digits and icons; of CIFAR."""
FEW = 500
"""Images from which the network can be trained on reliable labels."""


@dataclass(frozen=True)
class Known:
    """What settings are picked from."""

    images: int
    """To be trained on."""
    side: int
    """In pixels."""
    clusters: int | None
    """None: not known yet."""
    gray: bool
    """Whether all images are grey."""
    trained: bool
    """Whether others trained the backbone."""
    backbone: str | None
    """One that was asked for."""
    cuda: bool
    minutes: float


@dataclass(frozen=True)
class Choice:
    """One setting, and why."""

    stage: str
    values: dict[str, JsonValue]
    why: str


Measure = Callable[[dict[str, JsonValue]], Pace]
"""How fast a `pretrain` of these settings is on this machine."""


def default_minutes(images: int) -> float:
    """Return the time to plan for where nobody says one: 10 minutes, an hour for 60,000 images."""
    return min(60.0, max(10.0, images / 1000))


def choose(known: Known, measure: Measure) -> list[Choice]:
    """Pick the settings of all stages."""
    if known.trained:
        return [*_heads(known), *_reliable(known), *_semi(known, None)]
    pretrain, pace = _pretrain(known, measure)
    return [*pretrain, *_embed(known), *_heads(known), *_reliable(known), *_semi(known, pace)]


def sections(choices: list[Choice]) -> dict[str, dict[str, JsonValue]]:
    """Gather choices as the sections of a recipe."""
    out: dict[str, dict[str, Any]] = {}
    for choice in choices:
        for key, value in choice.values.items():
            place = out.setdefault(choice.stage, {})
            *above, last = key.split(".")
            for name in above:
                place = place.setdefault(name, {})
            place[last] = value
    return out


def last_stage(known: Known) -> str:
    """Return the stage to end with, unless a person names one."""
    return "self-label" if known.trained or known.images < FEW else "semi"


def why_last(known: Known) -> str:
    """Say why it is the last."""
    if known.trained:
        return "features of a trained network are good as they are; `--until semi` goes on"
    if known.images < FEW:
        return f"{known.images} images are too few to train a network on their reliable labels"
    return "the network is trained on its reliable labels"


def _pretrain(known: Known, measure: Measure) -> tuple[list[Choice], Pace]:
    n = known.images
    batch = batch_for(n, 256)
    fixed: dict[str, JsonValue] = {
        "method": "simclr",
        "optimizer": "muon",
        "lr": 0.02,
        "adam_lr": 0.003,
        "weight_decay": 0.0,
        "temperature": 0.5,
        "batch_size": batch,
    }
    views, why_views = _views(known)
    wanted = epochs_for(n, batch, UPDATES, least=30, most=400)
    budget = 60 * PRETRAINING * known.minutes
    options = _backbones(known)
    for place, (network, _) in enumerate(options):
        pace = measure({**fixed, **network, **views})
        fitting = int(budget / max(pace.step * (n // batch), 1e-9))
        if fitting >= wanted / 2 or place == len(options) - 1:
            break
    epochs = min(wanted, max(fitting, 2))
    needs = f"{wanted} epochs make {wanted * (n // batch):,} updates"
    limit = "" if epochs == wanted else f", and {known.minutes:g} minutes allow {epochs}"
    return [
        Choice("pretrain", fixed, f"no queue to fill; batches of {batch} are at most a quarter"),
        Choice("pretrain", network, options[place][1]),
        Choice("pretrain", views, why_views),
        Choice("pretrain", {"epochs": epochs, "warmup": round(epochs / 30, 1)}, needs + limit),
    ], pace


def _backbones(known: Known) -> list[tuple[dict[str, JsonValue], str]]:
    """List networks, the best first; the first that is fast enough is taken."""
    if known.backbone:
        return [({"backbone": known.backbone}, "asked for")]
    if known.side <= TINY:
        return [({"backbone": "small", "width": 32}, f"{known.side} pixels need no more")]
    if known.cuda:
        return [({"backbone": "resnet18"}, "a GPU")]
    stem = "patch" if known.side <= SMALL else "imagenet"
    cheap = f"the `{stem}` stem makes maps small at once, for a CPU"
    return [
        ({"backbone": "resnet14", "stem": stem}, cheap),
        ({"backbone": "small", "stem": stem}, f"{cheap}; larger networks would not get far"),
    ]


def _views(known: Known) -> tuple[dict[str, JsonValue], str]:
    size = known.side
    views: dict[str, JsonValue] = {}
    why = []
    if not known.cuda and size > TINY:
        size = min(size * 3 // 4 // 4 * 4, 96)
        views["views.size"] = size
        why.append(f"views of {size} pixels, for a CPU")
    if known.side <= TINY:
        views["views.crop"] = [0.4, 1.0]
        why.append("crops of 40 % at least, less shows nothing")
    if size < 64:
        views["views.blur"] = 0.0
        why.append("no blur of small views")
    if known.gray:
        views |= {f"views.{name}": 0.0 for name in ("flip", "saturation", "hue", "gray")}
        why.append("grey images: no colours, and not mirrored, for signs are other signs mirrored")
    return views, "; ".join(why) or "as for photographs"


def _embed(known: Known) -> list[Choice]:
    if known.gray:
        return []
    return [Choice("embed", {"flip": True}, "an image and its mirror image are one thing")]


def _heads(known: Known) -> list[Choice]:
    whose = "of a trained network" if known.trained else "trained on these images"
    why = f"on features {whose} as good as k-means at least, and in seconds (docs/results.md)"
    return [Choice("self-label", {"method": "graph", "views": "plain"}, why)]


def _reliable(known: Known) -> list[Choice]:
    each = known.images // (known.clusters or 10)
    neighbors = min(50, max(2, each // 2))
    least = max(2, each // 10)
    return [
        Choice(
            "select-reliable",
            {"neighbors": neighbors, "agreement": 0.7, "confidence": 0.5, "balance": "none"},
            f"{neighbors} neighbours, half of what a cluster has or 50",
        ),
        Choice("select-reliable", {"min_per_cluster": least}, "a tenth of what a cluster has"),
    ]


def _semi(known: Known, pace: Pace | None) -> list[Choice]:
    batch, ratio = batch_for(known.images, 64, 8), 1 if known.images < 2_000 else 3
    planned = semi_steps(known.images // 2, known.images, batch, ratio)
    values: dict[str, JsonValue] = {"method": "freematch", "batch_size": batch, "ratio": ratio}
    mirror: dict[str, JsonValue] = {"weak.flip": 0.0, "strong.flip": 0.0} if known.gray else {}
    pad = {"weak.pad": 1, "strong.pad": 1} if known.side <= TINY else {}
    steps, why = min(planned, 2_000), "steps at most; it stops when its predictions settle"
    if pace is not None:
        each = pace.semi_step(batch, ratio, known.side)
        fitting = affordable(60 * SEMI * known.minutes, each, least=100)
        if fitting < steps:
            steps, why = fitting, f"{known.minutes:g} minutes allow {fitting} steps"
    return [Choice("semi", {**values, **mirror, **pad, "steps": steps}, why)]
