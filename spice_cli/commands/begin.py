"""Starting a run, or reopening the one that is already about the same images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spice_cli.catalog import DATASETS
from spice_cli.commands.locate import RUNS
from spice_cli.console import say

if TYPE_CHECKING:
    from spice_cli.run.store import Run


def begin(
    dataset: str,
    path: Path | None,
    *,
    recipe: str | None,
    seed: int | None,
    flags: Mapping[str, Any],
) -> "Run":
    """Open or create the run about a data set, with a recipe's settings.

    Without a recipe, the one of the data set's name is taken if there is one.
    """
    from spice_cli.data.load import resolve
    from spice_cli.run.manifest import Recipe
    from spice_cli.run.store import Run
    from spice_cli.settings import data_spec, read_recipe, recipe_names
    from spice_cli.stages.images import describe

    name = recipe or (dataset if dataset in recipe_names() else "defaults")
    sections = {} if name == "defaults" else read_recipe(name)
    section = {k: v for k, v in sections.pop("data", {}).items() if k != "name"}
    spec = data_spec(section, {"name": resolve(dataset), **flags})
    data = describe(spec, say)
    where = path or RUNS / (dataset if dataset in DATASETS else Path(dataset).resolve().stem)
    settings = Recipe(name=name, sections=sections)
    run = Run.create(where, data, settings, seed=seed or 0)
    run.change(recipe=settings if recipe else None, seed=seed)
    return run
