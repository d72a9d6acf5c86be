"""The plan of `spice run`: settings where no recipe has any, and what all of it would take."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.console import emit, say, show

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe
    from spice_cli.run.store import Run
    from spice_cli.stages.forecast import Line

PLANNED, UNSET = "planned", "defaults"
"""Names of recipes: settings picked here, and none."""


def with_settings(plan: Pipeline, run: "Run") -> Pipeline:
    """Give a run that no recipe is about settings of its own; return the plan with its last stage.

    They stay with the run. They are picked anew where it is given other `--minutes`, or where it
    was to use a network that others trained and now trains one.
    """
    from spice_cli.run.manifest import Recipe

    recipe = run.manifest.recipe
    if plan.picked is not None:
        recipe = plan.picked
        run.change(recipe=recipe, dry=plan.dry)
    elif plan.recipe is None and _open(plan, run):
        recipe = Recipe(name=PLANNED, **_picked(plan, run))
        for reason in () if plan.dry else recipe.reasons:
            say(reason)
        run.change(recipe=recipe, dry=plan.dry)
    picked = recipe if recipe.name == PLANNED else None
    if plan.until is None and recipe.until and not picked:
        say(f"ends with `{recipe.until}`, as the recipe has it; `--until semi` goes on")
    return replace(plan, until=plan.until or recipe.until, picked=picked)


def _open(plan: Pipeline, run: "Run") -> bool:
    recipe, stages = run.manifest.recipe, run.manifest.stages
    if recipe.name == UNSET:
        ours = [stage for stage, record in stages.items() if not record.imported]
        return set(ours) <= {"embed"}
    trains = plan.network is None and "pretrain" not in stages
    lacking = trains and "pretrain" not in recipe.sections
    other = plan.minutes is not None and plan.minutes != recipe.minutes
    return recipe.name == PLANNED and (lacking or other)


def _picked(plan: Pipeline, run: "Run") -> "dict[str, Any]":
    from spice_cli.config import Pretrain
    from spice_cli.settings import stage_config
    from spice_cli.stages import pace
    from spice_cli.stages.backbone import image_size
    from spice_cli.stages.images import images_of
    from spice_cli.stages.perform import choose_device, choose_precision
    from spice_cli.stages.plan_run import (
        Known,
        choose,
        default_minutes,
        last_stage,
        sections,
        why_last,
    )

    data, device = run.manifest.data, choose_device(plan.how.device)
    some = images_of(run, say).images[:: max(1, data.train // 256)]
    known = Known(
        images=data.train,
        side=image_size(run),
        clusters=plan.clusters or data.classes,
        gray=bool((some[:, :1] == some).all()),
        trained=plan.network is not None,
        backbone=plan.backbone,
        cuda=device.type == "cuda",
        minutes=plan.minutes or default_minutes(data.train),
    )

    def measure(settings: dict[str, Any]) -> pace.Pace:
        section = sections([_choice(settings)])["pretrain"]
        config: Pretrain = stage_config("pretrain", section, {}, plan.sets["pretrain"])
        precision = choose_precision(config.precision, device)
        return pace.pretraining(config, known.side, device, precision, known.clusters)

    chosen = choose(known, measure)
    lines = [f"{c.stage}: {_spelled(c.values)} ({c.why})" for c in chosen]
    last = last_stage(known)
    if last != "semi":
        lines.append(f"ends with `{last}`: {why_last(known)}")
    about = f"{known.images:,} images of {known.side} pixels, {known.minutes:g} minutes"
    return {
        "sections": sections(chosen),
        "reasons": (f"settings for {about}:", *lines),
        "minutes": plan.minutes,
        "until": None if last == "semi" else last,
    }


def _choice(settings: dict[str, Any]) -> Any:
    from spice_cli.stages.plan_run import Choice

    return Choice("pretrain", settings, "")


def _spelled(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def show_plan(plan: Pipeline, run: "Run", seed: int | None, seeds: int = 1) -> None:
    """Print what the run would do and what it would take, timing a few steps, and do nothing."""
    from spice_cli.commands.pipeline import configs_of
    from spice_cli.stages.forecast import forecast, free_disk, total
    from spice_cli.stages.perform import choose_device

    device = choose_device(plan.how.device)
    lines = forecast(
        run,
        configs_of(plan, run),
        clusters=plan.clusters,
        seed=run.manifest.seed if seed is None else seed,
        device=device,
        network=plan.found,
    )
    low, high = total(lines)
    memory, disk = max(line.memory for line in lines), sum(line.disk for line in lines)
    recipe = run.manifest.recipe
    if plan.how.as_json:
        emit(_as_json(run, recipe, lines, (low * seeds, high * seeds), device.type), as_json=True)
        return
    for reason in recipe.reasons:
        say(reason)
    rows = [
        [line.stage, line.state, line.what, _range(line.seconds), _bytes(line.disk)]
        for line in lines
    ]
    show(
        f"plan of {run.path} ({recipe.name}, {device.type})",
        ["stage", "state", "what", "time", "disk"],
        rows,
    )
    say(
        f"in all {_range((low * seeds, high * seeds))}, measured on this machine as it is now; "
        f"memory up to {_bytes(memory)}, disk {_bytes(disk * seeds) or 'none'} of "
        f"{_bytes(free_disk(run.path))} free"
    )
    emit({line.stage: f"{line.state}\t{_tabbed(line.seconds)}" for line in lines})


def _as_json(
    run: "Run",
    recipe: "Recipe",
    lines: "list[Line]",
    seconds: tuple[float, float],
    device: str,
) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "recipe": recipe.name,
        "sections": recipe.sections,
        "reasons": list(recipe.reasons),
        "device": device,
        "seconds": list(seconds),
        "memory": max(line.memory for line in lines),
        "disk": sum(line.disk for line in lines),
        "stages": [
            {
                "stage": line.stage,
                "state": line.state,
                "what": line.what,
                "seconds": list(line.seconds) if line.seconds else None,
                "memory": line.memory,
                "disk": line.disk,
            }
            for line in lines
        ],
    }


def _tabbed(seconds: tuple[float, float] | None) -> str:
    return f"{seconds[0]:.1f}\t{seconds[1]:.1f}" if seconds else "\t"


def _range(seconds: tuple[float, float] | None) -> str:
    if seconds is None:
        return ""
    low, high = map(_time, seconds)
    return low if low == high else f"{low} to {high}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(count: int) -> str:
    if not count:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
