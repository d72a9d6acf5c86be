"""What `evaluate` leaves in the run directory."""

import json
from pathlib import Path

from spice_cli.report.confusion import draw
from spice_cli.run.files import replacing, write_text
from spice_cli.run.store import Run
from spice_cli.stages.evaluate import Evaluation


def keep(run: Run, found: Evaluation) -> list[Path]:
    """Write `evaluate.json` and, where there is truth, `confusion.png`; return the files."""
    record = run.record(found.stage)
    summary = {
        "stage": found.stage,
        "protocol": found.protocol,
        "images": found.images,
        "clusters": found.clusters,
        "scores": found.scores,
        "notes": found.notes,
        "seed": record.seed,
        "input": record.sha256,
    }
    numbers, picture = run.path / "evaluate.json", run.path / "confusion.png"
    write_text(numbers, json.dumps(summary, indent=2) + "\n")
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
