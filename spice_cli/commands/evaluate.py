from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spice_cli.catalog import METRICS, STAGES
from spice_cli.commands.locate import locate
from spice_cli.commands.options import JsonOption, RunOption, one_of
from spice_cli.console import emit, say, show, warn

if TYPE_CHECKING:
    from spice_cli.stages.evaluate import Evaluation


def evaluate(
    run: RunOption = None,
    metrics: Annotated[
        list[str] | None, one_of(METRICS, "--metrics", help="One or more. Default: acc nmi ari.")
    ] = None,
    stage: Annotated[
        str | None, one_of(STAGES, "--stage", help="Which stage to score. Default: the furthest.")
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
    from spice_cli.console import Terminal

    found = evaluate(opened, choices, Terminal())
    tell(opened.path, found)
    emit(found.scores, as_json=json)


def tell(path: Path, found: "Evaluation") -> None:
    """Show people the tables, and keep what was found in the run if it can be written to."""
    from spice_cli.run.store import Run
    from spice_cli.stages.evaluate import save

    label = f"{found.protocol}, n = {found.images:,}"
    show(
        f"{path}: {found.stage}",
        ["metric", "value", "protocol"],
        [[name, f"{value:.4f}", label] for name, value in found.scores.items()],
    )
    for note in found.notes:
        say(f"  {note}")
    if found.per_cluster:
        titles = ["cluster", "images", "confidence", "class", "purity"]
        show("clusters", titles[: len(found.per_cluster[0])], found.per_cluster)
    if found.table is not None and max(found.table.shape) <= 20:
        rows = [
            [title, *map(str, counts)]
            for title, counts in zip(found.rows, found.table.tolist(), strict=True)
        ]
        show("confusion (rows: classes, columns: clusters)", ["", *found.columns], rows)
    try:
        for file in save(Run.open(path), found):
            say(f"wrote {file}")
    except OSError as error:
        warn(f"could not write to `{path}`: {error.strerror}")
