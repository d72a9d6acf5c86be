from typing import Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption
from spice_cli.console import emit, say, warn


def split(
    cluster: Annotated[int, typer.Argument(min=0, help="The cluster's number.")],
    parts: Annotated[int, typer.Option("--parts", min=2, help="How many it becomes.")] = 2,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Divide a cluster of a finished run by k-means on the embeddings.

    Nothing is trained again; `spice merge --undo` takes it back.
    """
    path = locate(run)

    from spice_cli.run.store import Run
    from spice_cli.stages import curate

    opened = Run.open(path)
    if older := curate.older(opened):
        warn(older)
    with opened.lock():
        numbers = curate.split(opened, cluster, parts)
    names = curate.names(opened)
    say(f"cluster {curate.spoken([cluster], names)} became {', '.join(map(str, numbers))}")
    emit(curate.sizes(opened), as_json=json)
