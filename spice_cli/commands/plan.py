"""What `spice run --dry-run` shows: the stages, their settings, and what they would take."""

from typing import TYPE_CHECKING, Any

from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.console import emit, say, show

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe
    from spice_cli.run.store import Run
    from spice_cli.stages.look import Line


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
