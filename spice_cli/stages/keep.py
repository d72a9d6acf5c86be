"""What `evaluate` leaves in the run directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

from spice_cli.report.confusion import draw
from spice_cli.run.curation import load_curation
from spice_cli.run.files import replacing, write_text
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.evaluate import Evaluation

FILE = "evaluate.json"


def keep(run: Run, found: Evaluation) -> list[Path]:
    """Write `evaluate.json` and, where there is truth, `confusion.png`; return the files."""
    record = run.record(found.stage)
    summary = {
        "stage": found.stage,
        "protocol": found.protocol,
        "labels": found.labels,
        "images": found.images,
        "coverage": found.coverage,
        "clusters": found.clusters,
        "scores": found.scores,
        "label_free": found.label_free,
        "notes": found.notes,
        "seed": record.seed,
        "input": record.sha256,
        "edits": edits_mark(run, found.stage),
        "per_cluster": _per_cluster(found),
        "confusion": _confusion(found),
    }
    numbers, picture = run.path / FILE, run.path / "confusion.png"
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in summary.items())
    write_text(numbers, "{\n" + ",\n".join(lines) + "\n}\n")
    if found.table is None:
        return [numbers]
    name = run.manifest.data.name.rsplit("/", 1)[-1]
    columns = [str(cluster) for cluster in found.table.clusters]
    with replacing(picture) as partial:
        draw(
            found.table.counts,
            found.titles,
            columns,
            partial,
            f"{name}, {found.stage}, protocol {found.protocol}",
        )
    return [numbers, picture]


def edits_mark(run: Run, stage: Stage) -> str | None:
    """Return a hash of how the clusters of a stage were merged and split; None: not at all."""
    edits = load_curation(run.path, run.record(stage).sha256).edits
    if not edits:
        return None
    spelled = json.dumps([edit.model_dump(mode="json") for edit in edits], sort_keys=True)
    return hashlib.sha256(spelled.encode()).hexdigest()


def _confusion(found: Evaluation) -> dict[str, Any] | None:
    if found.table is None:
        return None
    return {
        "classes": found.titles,
        "clusters": list(found.table.clusters),
        "counts": found.table.counts.tolist(),
    }


def _per_cluster(found: Evaluation) -> list[dict[str, Any]]:
    """Return size, and with truth the most frequent class and its share, of all clusters."""
    sizes = {int(row[0]): int(row[1].replace(",", "")) for row in found.per_cluster}
    rows: dict[int, dict[str, Any]] = {
        cluster: {"cluster": cluster, "images": size} for cluster, size in sizes.items()
    }
    if found.table is not None:
        for cluster, counts in zip(found.table.clusters, found.table.counts.T, strict=True):
            top = int(counts.argmax())
            purity = int(counts[top]) / int(counts.sum())
            rows[cluster] |= {"class": found.titles[top], "purity": round(purity, 6)}
    return list(rows.values())
