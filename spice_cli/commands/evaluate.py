from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.catalog import METRICS, PROBES
from spice_cli.commands.locate import locate
from spice_cli.commands.options import (
    JsonOption,
    LabelsOption,
    RunOption,
    ScoredClustersOption,
    one_of,
)
from spice_cli.console import Terminal, emit, present, say, warn
from spice_cli.figures import figure

SCORED = ("pretrain", "embed", "self-label", "select-reliable", "semi", "ask")

if TYPE_CHECKING:
    from spice_cli.console import Shown
    from spice_cli.run.store import Run
    from spice_cli.stages.evaluate import Evaluation
    from spice_cli.stages.oracle import Oracle


def evaluate(
    run: RunOption = None,
    metrics: Annotated[
        list[str] | None, one_of(METRICS, "--metrics", help="One or more. Default: acc nmi ari.")
    ] = None,
    stage: Annotated[
        str | None, one_of(SCORED, "--stage", help="Which stage to score. Default: the furthest.")
    ] = None,
    probe: Annotated[
        list[str] | None,
        one_of(
            PROBES,
            "--probe",
            help="What else to read off the embeddings with labels at hand, one or more. Default: "
            "knn with --stage embed, else none.",
        ),
    ] = None,
    oracle: Annotated[
        bool,
        typer.Option("--oracle", help="Also say which head the labels would have picked."),
    ] = False,
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
    clusters: ScoredClustersOption = None,
    labels: LabelsOption = None,
    as_found: Annotated[
        bool,
        typer.Option(
            "--as-found", help="Leave out what was merged and split by hand; nothing is kept."
        ),
    ] = False,
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
        probes=tuple(dict.fromkeys(probe or ())),
        oracle=oracle,
        as_found=as_found,
    )
    found = evaluate(opened, choices, Terminal())
    tell(opened, found, keeping=not as_found)
    emit(_as_json(opened, found) if json else found.scores, as_json=json)


def _as_json(run: "Run", found: "Evaluation") -> dict[str, Any]:
    """Return the scores by name, and under `of` what they are scores of."""
    of = {
        "run": str(run.path),
        "stage": found.stage,
        "protocol": found.protocol,
        "images": found.images,
        "coverage": found.coverage,
        "clusters": found.clusters,
        "seed": run.record(found.stage).seed,
        "labels": None if found.table is None else found.labels or "data set",
    }
    return {**found.scores, "of": of}


def tell(run: "Run", found: "Evaluation", *, keeping: bool = True) -> "list[Shown]":
    """Show people the tables, and keep what was found in the run if it can be written to.

    Returns what was shown of the evaluation; nothing where it is not whole, or was not kept.
    """
    from spice_cli.errors import InvalidError
    from spice_cli.stages.keep import keep

    shown = _tables(run, found)
    present(shown)
    try:
        for file in keep(run, found) if keeping else ():
            say(f"wrote {file}")
    except InvalidError as error:
        warn(str(error))
        return []
    return [] if found.partial else shown


def _tables(run: "Run", found: "Evaluation") -> "list[Shown]":
    label = f"{found.protocol}, n = {found.images:,}"
    free = {k: v for k, v in found.label_free.items() if k not in found.scores}
    rows = [[name, figure(value), label] for name, value in found.scores.items()]
    rows += [[name, figure(value), "no labels used"] for name, value in free.items()]
    shown: list[Shown] = [(f"{run.path}: {found.stage}", ["metric", "value", "protocol"], rows)]
    shown += [f"  {note}" for note in found.notes]
    if found.oracle:
        shown.append(_heads(found.oracle))
    shown.append(_clusters(found))
    if found.table is not None and max(found.table.counts.shape) <= 20:
        rows = [
            [title, *map(str, counts)]
            for title, counts in zip(found.titles, found.table.counts.tolist(), strict=True)
        ]
        columns = ["", *map(str, found.table.clusters)]
        shown.append(("confusion (rows: classes, columns: clusters)", columns, rows))
    return shown


def _clusters(found: "Evaluation") -> "Shown":
    titles = ["cluster", "images", "confidence", "class", "purity"][: len(found.per_cluster[0])]
    rows = found.per_cluster
    if found.names:
        titles.append("name")
        rows = [[*row, found.names.get(int(row[0]), "")] for row in rows]
    return "clusters", titles, rows


def _heads(oracle: "Oracle") -> "Shown":
    marks = {oracle.best: "oracle", oracle.picked: "selection loss"}
    if oracle.best == oracle.picked:
        marks[oracle.best] = "both"
    rows = [
        [str(head), f"{loss:.4f}", f"{acc:.4f}", marks.get(head, "")]
        for head, (loss, acc) in enumerate(zip(oracle.losses, oracle.accuracies, strict=True))
    ]
    return "heads, and who takes which", ["head", "selection loss", "acc", "taken by"], rows
