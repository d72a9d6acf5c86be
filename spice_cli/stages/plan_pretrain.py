"""Settings of `pretrain` for images that no recipe is about: the network, its views, how long."""

from pydantic import JsonValue

from spice_cli.ops.costs import batch_for, epochs_for
from spice_cli.stages.choice import PRETRAINING, SMALL, TINY, Choice, Known, Measure
from spice_cli.stages.pace import Pace

UPDATES = 2_000
"""Updates after which features of small images have settled."""


def plan_pretrain(known: Known, measure: Measure) -> tuple[list[Choice], Pace]:
    """Pick the settings, and return how fast they are."""
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
