"""Settings for `spice run` on images that no recipe is about."""

from dataclasses import replace
from typing import TYPE_CHECKING

from spice_cli.catalog import STAGES
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.console import say

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe
    from spice_cli.run.store import Run

UNSET = "defaults"
"""The name of the recipe of a run that has none."""


def with_settings(plan: Pipeline, run: "Run") -> Pipeline:
    """Give a run that no recipe is about settings of its own; return the plan with its last stage.

    They stay with the run. They are picked anew where it is given other `--minutes`, or where it
    was to use a network that others trained and now trains one.
    """
    from spice_cli.stages.planned import PLANNED

    recipe = run.manifest.recipe
    if plan.picked is not None:
        recipe = plan.picked
        run.change(recipe=recipe, dry=plan.dry)
    elif plan.recipe is None and _open(plan, run):
        recipe = _picked(plan, run)
        for reason in () if plan.dry else reasons_of(plan, recipe):
            say(reason)
        run.change(recipe=recipe, dry=plan.dry)
    picked = recipe if recipe.name == PLANNED else None
    if plan.until is None and recipe.until and not picked:
        say(f"ends with `{recipe.until}`, as the recipe has it; `--until semi` goes on")
    return replace(plan, until=plan.until or recipe.until, picked=picked)


def reasons_of(plan: Pipeline, recipe: "Recipe") -> list[str]:
    """Return why settings were picked, those of stages that are not to run left out."""
    stages = replace(plan, until=plan.until or recipe.until).stages
    left = [stage for stage in STAGES if stage not in stages]
    return [each for each in recipe.reasons if each.partition(":")[0] not in left]


def _open(plan: Pipeline, run: "Run") -> bool:
    from spice_cli.stages.planned import PLANNED

    recipe, stages = run.manifest.recipe, run.manifest.stages
    if recipe.name == UNSET:
        ours = [stage for stage, record in stages.items() if not record.imported]
        return set(ours) <= {"embed"}
    trains = plan.network is None and "pretrain" not in stages
    lacking = trains and "pretrain" not in recipe.sections
    other = plan.minutes is not None and plan.minutes != recipe.minutes
    return recipe.name == PLANNED and (lacking or other)


def _picked(plan: Pipeline, run: "Run") -> "Recipe":
    from spice_cli.console import Terminal
    from spice_cli.settings.configs import stage_config
    from spice_cli.stages.perform import choose_device
    from spice_cli.stages.planned import planned

    return planned(
        run,
        choose_device(plan.how.device),
        lambda section: stage_config("pretrain", section, {}, plan.sets["pretrain"]),
        Terminal(),
        clusters=plan.clusters or run.manifest.data.classes,
        backbone=plan.backbone,
        trained=plan.network is not None,
        minutes=plan.minutes,
    )
