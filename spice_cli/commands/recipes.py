from typing import Annotated

import typer

from spice_cli.commands.options import JsonOption
from spice_cli.console import emit


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the recipes that come with the program, or print one."""
    from spice_cli.settings.recipes import last_stage, read_recipe, recipe_file, recipe_names

    if name is not None:
        text = recipe_file(name).read_text(encoding="utf-8").rstrip()
        until = {"until": end} if (end := last_stage(name)) else {}
        emit({**until, **read_recipe(name)} if json else text, as_json=json)
        return
    about = {n: recipe_file(n).read_text().splitlines()[0].lstrip("# ") for n in recipe_names()}
    emit(about, as_json=json)
