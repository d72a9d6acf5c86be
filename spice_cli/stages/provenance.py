"""Where a result comes from: what was given, and how each stage was made."""

from typing import Any

from spice_cli.report.tables import facts, listed, table
from spice_cli.run.manifest import Record
from spice_cli.run.store import Run
from spice_cli.stages.origin import origin
from spice_cli.stages.scene import Scene

MOST_TENSORS = 20


def summary(scene: Scene) -> list[str]:
    """Say in a few lines which clusters these are."""
    run, found = scene.run, scene.found
    record, data = run.record(scene.stage), run.manifest.data
    how = found.how or f"clusters by `{_method(record)}`"
    sizes = [int((found.cluster == c).sum()) for c in scene.shown]
    lines = [
        f"{len(found.rows):,} {'images' if scene.images is not None else 'rows'}, protocol "
        f"`{data.protocol}`; stage `{scene.stage}`: {how}",
        origin(run),
        f"{min(sizes):,} to {max(sizes):,} a cluster, mean {scene.measure} "
        f"{float(found.confidence.double().mean()):.3f}",
        f"recipe `{run.manifest.recipe.name}`, seed {record.seed}, {record.environment.device}, "
        f"finished {record.finished:%Y-%m-%d %H:%M} UTC",
    ]
    if data.bad:
        lines.append(f"{len(data.bad):,} unreadable files left out, listed under Settings")
    return lines


def provenance(run: Run) -> list[str]:
    """Return a table of the stages, and folded up their settings and the images."""
    data, recipe = run.manifest.data, run.manifest.recipe
    rows = [
        [
            stage,
            _method(record),
            "elsewhere" if record.imported else "here",
            str(record.seed),
            f"{record.environment.device}, {record.environment.precision}",
            f"spice {record.environment.spice}, torch {record.environment.torch}",
            f"{record.seconds:,.1f} s",
            f"{record.finished:%Y-%m-%d %H:%M}",
            record.sha256[:12],
        ]
        for stage, record in run.manifest.stages.items()
    ]
    columns = ["stage", "method", "made", "seed", "device", "with", "took", "finished (UTC)"]
    images = data.model_dump(mode="json", exclude={"bad"})
    return [
        table([*columns, "sha256"], rows, caption="How each stage was made", text=3),
        listed(f"{len(data.bad):,} unreadable files left out", data.bad),
        facts({"data": images, f"recipe {recipe.name}": recipe.sections}),
        facts({f"stage {name}": _spelled(each) for name, each in run.manifest.stages.items()}),
    ]


def _method(record: Record) -> str:
    own = [record.config.get(key) for key in ("method", "backbone")]
    return " on ".join(str(each) for each in own if each) or "-"


def _spelled(record: Record) -> dict[str, Any]:
    told = record.model_dump(mode="json")
    shapes = {name: spec["shape"] for name, spec in told["tensors"].items()}
    told["tensors"] = {name: str(shapes[name]) for name in list(shapes)[:MOST_TENSORS]}
    if len(shapes) > MOST_TENSORS:
        told["tensors"]["..."] = f"and {len(shapes) - MOST_TENSORS} more"
    return told
