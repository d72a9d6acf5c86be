"""Gather what a report shows of a run, without reading a label."""

from collections.abc import Sequence
from pathlib import Path

import torch

from spice_cli.ops.projection import Projection
from spice_cli.report.page import Cluster, Finding, Page, render
from spice_cli.report.tables import marked, matrix, scores, table
from spice_cli.run.files import write_text
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.album import Album
from spice_cli.stages.assignments import newest
from spice_cli.stages.cards import cards
from spice_cli.stages.charts import charts
from spice_cli.stages.odd import odd
from spice_cli.stages.points import check_maps, points
from spice_cli.stages.provenance import provenance, summary
from spice_cli.stages.report_questions import questions
from spice_cli.stages.scene import Scene, scene
from spice_cli.stages.verdict import Row, Verdict, verdict
from spice_cli.track import Track

UNKNOWN = "`spice evaluate` has not compared these clusters with true classes"


def report(
    run: Run,
    file: Path,
    *,
    stage: Stage | None = None,
    clusters: int | None = None,
    maps: Sequence[Projection] = (),
    pictures: int = 8,
    asking: int | None = None,
    track: Track,
) -> None:
    """Write the report of a stage's clusters, by default the furthest's, into one HTML file.

    `clusters` is for k-means on `embed`; `pictures` of each kind are shown of a cluster, fewer
    where there are many clusters. It asks up to `asking` questions; by default 20, of
    many images none. Errors as in `scene`; MissingError also where a projection is not installed,
    InvalidError where the file cannot be written.
    """
    check_maps(maps)
    seen = scene(run, stage or newest(run), clusters, track)
    write_text(file, render(_page(seen, maps, pictures, asking, track)))


def _page(
    scene: Scene,
    maps: Sequence[Projection],
    pictures: int,
    asking: int | None,
    track: Track,
) -> Page:
    known = verdict(scene.run, scene.stage, len(scene.shown))
    album = Album(scene)
    truth = {cluster: f"mostly class {_share(row)}" for cluster, row in known.of_cluster.items()}
    shown, heat = cards(scene, album, pictures, truth, track)
    asked = questions(scene, album, asking, track)
    findings = _findings(scene, album)
    name = scene.run.manifest.data.name.rsplit("/", 1)[-1]
    return Page(
        title=f"{name}: {len(shown)} clusters",
        summary=[*summary(scene), *_compared(known)],
        measure=scene.measure,
        clusters=shown,
        gallery=album.sprite(),
        captions=album.captions,
        heat=heat,
        points=points(scene, maps),
        questions=asked,
        findings=findings,
        numbers=_numbers(scene, shown, known),
        charts=charts(scene.run),
        settings=provenance(scene.run),
    )


def _numbers(scene: Scene, clusters: Sequence[Cluster], known: Verdict) -> list[str]:
    """Return the tables: scores and confusion where `evaluate` left them, and the clusters."""
    columns = ["cluster", "images", f"mean {scene.measure}"]
    rows = [
        [scene.title(c.id), f"{c.size:,}", f"{c.confidence:.3f}" if c.size else "-"]
        for c in clusters
    ]
    if known.of_cluster:
        columns.append("most frequent class")
        for each, row in zip(clusters, rows, strict=True):
            found = known.of_cluster.get(each.id)
            row.append(_share(found) if found else "-")
    notes = "".join(f"{marked(note)}<br>" for note in known.notes or [UNKNOWN])
    out = [scores({scene.stage: known.scores}), f'<p class="note">{notes}</p>']
    if known.confusion is not None:
        titles = [scene.title(cluster) for cluster in known.confusion.clusters]
        out.append(matrix(known.confusion.classes, titles, known.confusion.counts))
    return [*out, table(columns, rows, caption="Clusters")]


def _compared(known: Verdict) -> list[str]:
    if known.confusion is None:
        return []
    told = ", ".join(f"{name} {value:.4f}" for name, value in known.scores.items())
    return [f"compared with the true classes: {told}"]


def _share(row: Row) -> str:
    return f"{row.truth} ({row.purity or 0:.1%})"


def _findings(scene: Scene, album: Album) -> list[Finding]:
    if scene.embeddings is None:
        return []
    found = odd(scene.embeddings, scene.images, torch.Generator().manual_seed(0))
    among = f"among {found.compared:,} "
    among += "drawn at random" if found.compared < len(scene.embeddings) else "images"
    alike = [(f"cosine {cosine:.4f}", album.add([a, b])) for a, b, cosine in found.alike]
    alone = [(f"{cosine:.3f}", album.add([row])) for row, cosine in found.alone]
    return [
        Finding(
            "Near-duplicates",
            f"nearest neighbours whose pixels hardly differ, {among}" if alike else f"none {among}",
            alike,
        ),
        Finding(
            "Outliers",
            f"least like their ten nearest neighbours (mean cosine), {among}",
            alone,
        ),
    ]
