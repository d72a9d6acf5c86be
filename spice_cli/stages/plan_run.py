"""Settings for images that no recipe is about: from how many there are, their size, and the time.

Rules of thumb, each with its reason in a line. They ask for nothing but what is known before
anything is trained, and never for a label.
"""

from pydantic import JsonValue

from spice_cli.ops.costs import affordable, batch_for
from spice_cli.ops.schedule import semi_steps
from spice_cli.stages.choice import SEMI, TINY, Choice, Known, Measure
from spice_cli.stages.pace import Pace
from spice_cli.stages.plan_pretrain import plan_pretrain

FEW = 500
"""Images from which the network can be trained on reliable labels."""


def default_minutes(images: int) -> float:
    """Return the time to plan for where nobody says one: 10 minutes, an hour for 60,000 images."""
    return min(60.0, max(10.0, images / 1000))


def choose(known: Known, measure: Measure) -> list[Choice]:
    """Pick the settings of all stages."""
    if known.trained:
        return [*_heads(known), *_reliable(known), *_semi(known, None)]
    pretrain, pace = plan_pretrain(known, measure)
    return [*pretrain, *_embed(known), *_heads(known), *_reliable(known), *_semi(known, pace)]


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
