from typing import Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption
from spice_cli.console import emit, warn
from spice_cli.visible import field


def name(
    cluster: Annotated[
        int | None, typer.Argument(min=0, help="Its number; without one, all names are listed.")
    ] = None,
    title: Annotated[
        str | None, typer.Argument(metavar="NAME", help='Its name, e.g. "red cars".')
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the name away.")] = False,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Name a cluster; evaluate, report, predict and export show the name from then on."""
    from spice_cli.errors import UsageError

    path = locate(run)
    if cluster is not None and bool(title) == clear:
        raise UsageError(
            "a cluster gets either a name or `--clear`", hint=f'spice name {cluster} "red cars"'
        )

    from spice_cli.run.store import Run
    from spice_cli.stages import curate

    opened = Run.open(path)
    if older := curate.older(opened):
        warn(older)
    if cluster is not None:
        with opened.lock():
            curate.name(opened, cluster, title or "")
    names = curate.names(opened)
    emit(names if json else {at: field(name) for at, name in names.items()}, as_json=json)
