"""What `spice run --dry-run` shows: the stages, their settings, and what they would take."""

from typing import TYPE_CHECKING, Any

from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.commands.plan_settings import reasons_of
from spice_cli.console import emit, say, show

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe
    from spice_cli.run.store import Run
    from spice_cli.stages.lines import Line


def show_plan(plan: Pipeline, run: "Run", seed: int | None, seeds: int = 1) -> None:
    """Print what the run would do and what it would take, timing a few steps, and do nothing."""
    from spice_cli.commands.pipeline import configs_of
    from spice_cli.stages.forecast import forecast, free_disk, processes
    from spice_cli.stages.lines import disk, total
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
    left, most = disk(lines, seeds)
    world, here = processes()
    memory, free = max(line.memory for line in lines), free_disk(run.path)
    recipe = run.manifest.recipe
    if plan.how.as_json:
        found = _as_json(run, recipe, lines, (low * seeds, high * seeds), device.type)
        more = {"memory": memory, "disk": left, "peak": most, "free": free, "processes": here}
        emit({**found, **more}, as_json=True)
        return
    for reason in reasons_of(plan, recipe):
        say(reason)
    rows = [
        [
            line.stage,
            line.state,
            line.what,
            _range(line.seconds),
            _bytes(line.memory),
            _bytes(line.disk),
        ]
        for line in lines
    ]
    show(
        f"plan of {run.path} ({recipe.name}, {device.type})",
        ["stage", "state", "what", "time", "memory", "disk"],
        rows,
    )
    alone = f" for one process alone, of {world}" if world > 1 else ""
    each = f" in each of {here} processes, {_bytes(here * memory)} on this host"
    say(
        f"in all {_range((low * seeds, high * seeds))}{alone}, measured on this machine as it is "
        f"now; memory up to {_bytes(memory) or 'nothing'}{each if here > 1 else ''}, disk "
        f"{_bytes(most) or 'none'} at most of {_bytes(free)} free"
        f"{', which is not enough' if most > free else ''}, {_bytes(left) or 'none'} in the end"
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
        "stages": [
            {
                "stage": line.stage,
                "state": line.state,
                "what": line.what,
                "seconds": list(line.seconds) if line.seconds else None,
                "memory": line.memory,
                "disk": line.disk,
                "peak": line.peak,
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
