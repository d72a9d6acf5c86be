"""Starting a run, or reopening the one that is already about the same images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spice_cli.catalog import DATASETS
from spice_cli.commands.locate import MANIFEST, RUNS
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
    size: int | None = None,
    dry: bool = False,
) -> "Run":
    """Open or create the run about a data set, with a recipe's settings.

    Without a recipe, the one of the data set's name is taken if there is one. `size` is the side of
    the images where neither says it. A run on which nothing rests is started anew where its images
    are to be others. A `dry` run is not written.
    """
    from spice_cli.data.load import resolve
    from spice_cli.run.manifest import Manifest, Recipe
    from spice_cli.run.store import Run
    from spice_cli.run.vacant import vacant, vacate
    from spice_cli.settings.configs import data_spec
    from spice_cli.settings.recipes import last_stage, read_recipe, recipe_names
    from spice_cli.stages.images import describe

    name = recipe or (dataset if dataset in recipe_names() else "defaults")
    sections = {} if name == "defaults" else read_recipe(name)
    section = {k: v for k, v in sections.pop("data", {}).items() if k != "name"}
    section = {**({"size": size} if size else {}), **section}
    spec = data_spec(section, {"name": resolve(dataset), **flags})
    data = describe(spec, say)
    where = place(dataset, path)
    until = None if name == "defaults" else last_stage(name)
    settings = Recipe(name=name, sections=sections, until=until)
    there = (where / MANIFEST).exists()
    if dry and (not there or vacant(where, data)):
        return Run(where, Manifest(data=data, recipe=settings, seed=seed or 0))
    if there:
        vacate(where, data)
    run = Run.create(where, data, settings, seed=seed or 0)
    run.change(recipe=settings if recipe else None, seed=seed, dry=dry)
    return run


def place(dataset: str, path: Path | None) -> Path:
    """Return where the run about a data set is, or would be."""
    return path or RUNS / (dataset if dataset in DATASETS else Path(dataset).resolve().stem)
