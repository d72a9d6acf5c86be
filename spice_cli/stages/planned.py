"""Settings picked for a run that no recipe is about, as a recipe of its own."""

from collections.abc import Callable, Mapping

import torch
from pydantic import JsonValue

from spice_cli.config.pretrain import Pretrain
from spice_cli.run.manifest import Recipe
from spice_cli.run.store import Run
from spice_cli.stages.backbone import image_size
from spice_cli.stages.choice import Choice, Known, sections
from spice_cli.stages.images import images_of
from spice_cli.stages.pace import Pace, pretraining
from spice_cli.stages.perform import choose_precision
from spice_cli.stages.plan_run import choose, default_minutes, last_stage, why_last
from spice_cli.track import Track

PLANNED = "planned"
"""The name of such a recipe."""
LOOKED = 256
"""Images that are looked at for colour."""


def planned(
    run: Run,
    device: torch.device,
    configured: Callable[[Mapping[str, JsonValue]], Pretrain],
    track: Track,
    *,
    clusters: int | None,
    backbone: str | None,
    trained: bool,
    minutes: float | None,
) -> Recipe:
    """Pick settings for a run's images from their number, size and colour, and this machine.

    `configured` turns settings of `pretrain` into its config; `backbone` is one that was asked
    for, `trained` whether others trained it. No `minutes`: as many as so many images usually take.
    """
    data = run.manifest.data
    some = images_of(run, track.say).images[:: max(1, data.train // LOOKED)]
    known = Known(
        images=data.train,
        side=image_size(run),
        clusters=clusters,
        gray=bool((some[:, :1] == some).all()),
        trained=trained,
        backbone=backbone,
        cuda=device.type == "cuda",
        minutes=minutes or default_minutes(data.train),
    )

    def measure(values: dict[str, JsonValue]) -> Pace:
        config = configured(sections([Choice("pretrain", values, "")])["pretrain"])
        precision = choose_precision(config.precision, device)
        return pretraining(config, known.side, device, precision, known.clusters)

    chosen = choose(known, measure)
    lines = [f"{each.stage}: {_spelled(each.values)} ({each.why})" for each in chosen]
    last = last_stage(known)
    if last != "semi":
        lines.append(f"ends with `{last}`: {why_last(known)}")
    unit = "minute" if known.minutes == 1 else "minutes"
    about = f"{known.images:,} images of {known.side} pixels, {known.minutes:g} {unit}"
    return Recipe(
        name=PLANNED,
        sections=sections(chosen),
        reasons=(f"settings for {about}:", *lines),
        minutes=minutes,
        until=None if last == "semi" else last,
    )


def _spelled(values: Mapping[str, JsonValue]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())
