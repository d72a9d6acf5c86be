from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spice_cli.catalog import METRICS
from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption, one_of
from spice_cli.console import Terminal, emit, say, show, warn

SCORED = ("embed", "self-label", "select-reliable", "semi")

if TYPE_CHECKING:
    from spice_cli.run.store import Run
    from spice_cli.stages.evaluate import Evaluation


def evaluate(
    run: RunOption = None,
    metrics: Annotated[
        list[str] | None, one_of(METRICS, "--metrics", help="One or more. Default: acc nmi ari.")
    ] = None,
    stage: Annotated[
        str | None, one_of(SCORED, "--stage", help="Which stage to score. Default: the furthest.")
    ] = None,
    average: Annotated[
        str,
        one_of(["arithmetic", "geometric"], "--average", help="Mean of the entropies in NMI."),
    ] = "arithmetic",
    match: Annotated[
        str,
        one_of(
            ["one-to-one", "many-to-one"],
            "--match",
            help="How clusters are matched with classes for ACC.",
        ),
    ] = "one-to-one",
    clusters: Annotated[
        int | None, typer.Option("--clusters", "-k", min=2, help="For k-means on `embed`.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="True classes, an .npy of one integer a row."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare the clusters with the true classes, the only command that sees them."""
    path = locate(run)

    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.stages.evaluate import Choices, evaluate

    opened = Run.open(path)
    choices = Choices(
        metrics=tuple(dict.fromkeys(metrics or ("acc", "nmi", "ari"))),
        stage=Stage(stage) if stage else None,
        average=average,  # type: ignore[arg-type]
        match=match,  # type: ignore[arg-type]
        clusters=clusters,
        labels=labels,
    )
    found = evaluate(opened, choices, Terminal())
    tell(opened, found)
    emit(found.scores, as_json=json)


def tell(run: "Run", found: "Evaluation") -> None:
    """Show people the tables, and keep what was found in the run if it can be written to."""
    from spice_cli.errors import InvalidError
    from spice_cli.stages.keep import keep

    label = f"{found.protocol}, n = {found.images:,}"
    show(
        f"{run.path}: {found.stage}",
        ["metric", "value", "protocol"],
        [[name, f"{value:.4f}", label] for name, value in found.scores.items()],
    )
    for note in found.notes:
        say(f"  {note}")
    titles = ["cluster", "images", "confidence", "class", "purity"]
    show("clusters", titles[: len(found.per_cluster[0])], found.per_cluster)
    if found.table is not None and max(found.table.counts.shape) <= 20:
        rows = [
            [title, *map(str, counts)]
            for title, counts in zip(found.titles, found.table.counts.tolist(), strict=True)
        ]
        columns = ["", *map(str, found.table.clusters)]
        show("confusion (rows: classes, columns: clusters)", columns, rows)
    try:
        for file in keep(run, found):
            say(f"wrote {file}")
    except InvalidError as error:
        warn(str(error))
