from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.catalog import METRICS
from spice_cli.commands.evaluate import SCORED
from spice_cli.commands.options import JsonOption, LabelsOption, ScoredClustersOption, one_of
from spice_cli.commands.repeated import as_json, seeds_of, tabbed
from spice_cli.console import Terminal, emit, show, warn
from spice_cli.published import Published, published_for
from spice_cli.visible import field

if TYPE_CHECKING:
    from spice_cli.stages.compare import Table

SHOWN = ("acc", "nmi", "ari")


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Runs, or families of them as `spice run --seeds` makes."
        ),
    ],
    stage: Annotated[
        list[str] | None,
        one_of(SCORED, "--stage", help="Which stage to score, repeatable. Default: the furthest."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        one_of(
            METRICS,
            "--metric",
            help="Repeatable; the first one ranks. Default: acc, nmi and ari.",
        ),
    ] = None,
    average: Annotated[
        str,
        one_of(["arithmetic", "geometric"], "--average", help="Mean of the entropies in NMI."),
    ] = "arithmetic",
    clusters: ScoredClustersOption = None,
    labels: LabelsOption = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Also show what was published for the same data and protocol."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show runs beside each other: mean, deviation and n, ranked within a data set and protocol.

    Other data sets, protocols and true classes are other tables: they cannot be compared. Of stdout
    each line is data set, protocol, run, stage, metric, mean, deviation, n.
    """
    from spice_cli.run.manifest import Stage
    from spice_cli.stages.compare import compare
    from spice_cli.stages.evaluate import Choices

    choices = Choices(
        metrics=tuple(dict.fromkeys(metric or SHOWN)),
        average=average,  # type: ignore[arg-type]
        clusters=clusters,
        labels=labels,
    )
    tables = compare(
        list(dict.fromkeys(runs)), choices, [Stage(s) for s in stage or ()], Terminal()
    )
    rows = [
        published_for(t.data.name, t.protocol) if published and t.labels is None else []
        for t in tables
    ]
    for table, others in zip(tables, rows, strict=True):
        _show(table)
        if published:
            _show_published(table, others)
    if len(tables) > 1:
        warn(f"{len(tables)} tables, not to be ranked together: other images, protocol or labels")
    if json:
        emit([_as_json(*pair) for pair in zip(tables, rows, strict=True)], as_json=True)
        return
    for table in tables:
        for row in table.rows:
            for name, found in row.scores.items():
                of = (table.data.name, table.protocol, row.name, row.stage, name)
                emit("\t".join([*map(field, of), tabbed(as_json(found))]))


def _show(table: "Table") -> None:
    names = list(dict.fromkeys(name for row in table.rows for name in row.scores))
    kind = f", NMI {table.average}" if "nmi" in names else ""
    truth = f", labels of a file ({table.labels[:8]})" if table.labels else ""
    show(
        f"{table.data.name}, protocol {table.protocol}, {table.images:,} images scored"
        f"{kind}{truth}",
        ["run", "stage", "methods", "clusters", "seeds", "n", *names],
        [
            [
                row.name,
                row.stage,
                row.methods,
                str(row.clusters),
                seeds_of(row.seeds),
                str(len(row.seeds)),
                *(str(row.scores.get(name, "-")) for name in names),
            ]
            for row in table.rows
        ],
    )


def _show_published(table: "Table", rows: list[Published]) -> None:
    where = f"{table.data.name}, protocol {table.protocol}"
    if not rows:
        warn(f"nothing published is known for {where}")
        return
    show(
        f"published for {where}",
        ["method", *SHOWN, "NMI", "of its runs", "note", "source"],
        [
            [
                row.method,
                *("-" if v is None else f"{v:.4f}" for v in (row.acc, row.nmi, row.ari)),
                row.average or "not stated",
                row.runs,
                row.note,
                row.source,
            ]
            for row in rows
        ],
    )


def _as_json(table: "Table", others: list[Published]) -> dict[str, Any]:
    return {
        "data": table.data.name,
        "protocol": table.protocol,
        "images": table.images,
        "labels": table.labels,
        "nmi": table.average,
        "rows": [
            {
                "run": row.name,
                "stage": row.stage,
                "methods": row.methods,
                "clusters": row.clusters,
                "seeds": row.seeds,
                "scores": {name: as_json(found) for name, found in row.scores.items()},
            }
            for row in table.rows
        ],
        "published": [asdict(row) for row in others],
    }
