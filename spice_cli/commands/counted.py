"""Whether anybody says how many clusters `spice run` is to find."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.catalog import DATASETS
from spice_cli.commands.begin import place
from spice_cli.commands.locate import MANIFEST
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe


def check_counted(plan: Pipeline, path: Path | None) -> None:
    """Raise UsageError where nobody says how many, before an image is decoded or a run begun."""
    said = plan.clusters or any(text.startswith("clusters=") for text in plan.sets["self-label"])
    if plan.auto or said or plan.dataset in DATASETS:
        return
    recipe, classes = _known(plan, place(plan.dataset, path))
    stages = replace(plan, until=plan.until or recipe.until).stages
    if "self-label" not in stages or "clusters" in recipe.sections.get("self-label", {}):
        return
    if classes is None and _undeclared(plan, recipe):
        raise UsageError(
            "how many clusters? the data set declares no classes",
            hint="`--clusters K`, or `--clusters auto` for an estimate",
        )


def _known(plan: Pipeline, where: Path) -> "tuple[Recipe, int | None]":
    """Return the recipe that counts, and how many classes a run that is there knows."""
    from spice_cli.run.load import load_manifest
    from spice_cli.run.manifest import Recipe
    from spice_cli.settings.recipes import last_stage, read_recipe

    before = load_manifest(where) if (where / MANIFEST).exists() else None
    if plan.recipe is not None:
        until, sections = last_stage(plan.recipe), read_recipe(plan.recipe)
        recipe = Recipe(name=plan.recipe, sections=sections, until=until)
    else:
        recipe = before.recipe if before else Recipe(name="defaults")
    return recipe, before.data.classes if before else None


def _undeclared(plan: Pipeline, recipe: "Recipe") -> bool:
    from spice_cli.data.declared import undeclared
    from spice_cli.data.load import resolve
    from spice_cli.settings.configs import data_spec

    section = {k: v for k, v in recipe.sections.get("data", {}).items() if k != "name"}
    return undeclared(data_spec(section, {"name": resolve(plan.dataset), **plan.about}))
