from typing import Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption
from spice_cli.console import emit, say, warn


def merge(
    clusters: Annotated[
        list[int] | None, typer.Argument(min=0, help="Numbers of clusters that are one.")
    ] = None,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Merge the most alike until so many are left."),
    ] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show in which order the clusters would merge.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back the last merge or split.")
    ] = False,
    run: RunOption = None,
    json: JsonOption = False,
) -> None:
    """Make one cluster of several, on a finished run; nothing is trained again."""
    from spice_cli.errors import UsageError

    path = locate(run)
    if sum([bool(clusters), to is not None, tree, undo]) != 1:
        raise UsageError(
            "which clusters belong together?",
            hint="one of: spice merge 3 5, --to 10, --tree, --undo",
        )

    from spice_cli.run.store import Run
    from spice_cli.stages import curate

    opened = Run.open(path)
    if older := curate.older(opened):
        warn(older)
    if tree:
        steps = curate.tree(opened)
        emit(
            [{"clusters": step.groups, "cosine": round(step.cosine, 6)} for step in steps]
            if json
            else "\n".join(f"{s.cosine:.4f}\t{'+'.join(map(str, s.groups))}" for s in steps),
            as_json=json,
        )
        return
    named = curate.names(opened)
    with opened.lock():
        if undo:
            say(f"took back the {curate.undo(opened).kind}")
        elif to is not None:
            for group in curate.merge_to(opened, to):
                say(f"merged {curate.spoken(group, named)}")
        else:
            curate.merge(opened, clusters or [])
            say(f"merged {curate.spoken(clusters or [], named)}")
    emit(curate.sizes(opened), as_json=json)
