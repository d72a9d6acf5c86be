from pathlib import Path
from typing import Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import RunOption, one_of
from spice_cli.console import Terminal, emit, say

SHOWN = ("embed", "self-label", "semi", "ask")


def report(
    run: RunOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: report.html in the run."),
    ] = None,
    stage: Annotated[
        str | None, one_of(SHOWN, "--stage", help="Whose clusters. Default: the furthest.")
    ] = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", "-k", min=2, help="For k-means on `embed`.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        one_of(
            ["pca", "tsne", "umap"],
            "--map",
            help="Maps of the images, repeatable. Default: pca, and tsne up to 2,000 images.",
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="Pictures of each kind a cluster; fewer for many clusters."
        ),
    ] = 8,
    questions: Annotated[
        int | None,
        typer.Option(
            "--questions",
            "-q",
            metavar="N",
            min=0,
            help="How many images to ask about on the page. Default: 20, none of more than 10,000 "
            "images.",
        ),
    ] = None,
) -> None:
    """Write one HTML page to look at the clusters, without network or server."""
    path = locate(run)

    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.stages.report import report

    file = output or path / "report.html"
    report(
        Run.open(path),
        file,
        stage=Stage(stage) if stage else None,
        clusters=clusters,
        maps=tuple(dict.fromkeys(map_ or ())),  # type: ignore[arg-type]
        pictures=pictures,
        asking=questions,
        track=Terminal(),
    )
    say(f"wrote {file}")
    emit(file)
