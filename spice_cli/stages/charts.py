"""The curves of a report, from what the stages logged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spice_cli.errors import InvalidError
from spice_cli.json_text import parse_json
from spice_cli.report.curves import Point, chart
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run

CURVES = {
    "loss": "loss",
    "selection_loss": "selection loss, which picks head and epoch",
    "largest_share": "largest cluster's share of the images",
    "confident": "share of confident guesses",
    "changed": "share of predictions that changed",
    "lr": "learning rate",
    "images_per_second": "images per second",
}
"""Keys of the logs, and what they are."""


def charts(run: Run) -> list[str]:
    """Return SVG charts of every stage that logged more than one epoch, and of the heads."""
    out = []
    for stage in Stage:
        lines = _lines(run.path / f"{stage}.jsonl") if stage in run.manifest.stages else []
        for key, title in CURVES.items():
            points = [(float(each["epoch"]), float(each[key])) for each in lines if _has(each, key)]
            mark = _least(points) if key == "selection_loss" else None
            if len(points) > 1:
                out.append(chart(f"{stage}: {title}", {key: points}, mark=mark))
        if stage is Stage.SELF_LABEL:
            out.append(_heads(run))
    return out


def _heads(run: Run) -> str:
    """Draw the selection loss of every head, the least of which names the one taken."""
    record = run.manifest.stages.get(Stage.SELF_LABEL)
    if record is None or "losses" not in record.tensors or run.stale_because(Stage.SELF_LABEL):
        return ""
    losses = run.read(Stage.SELF_LABEL, "losses")["losses"].tolist()
    points = [(float(head), loss) for head, loss in enumerate(losses)]
    title = f"self-label: selection loss of its {len(losses)} heads"
    if len(losses) < 2:
        return ""
    return chart(title, {"head": points}, axis="head", dots=True, mark=_least(points))


def _least(points: list[Point]) -> Point | None:
    return min(points, key=lambda point: point[1], default=None)


def _has(line: Mapping[str, Any], key: str) -> bool:
    return isinstance(line.get(key), int | float) and isinstance(line.get("epoch"), int)


def _lines(log: Path) -> list[dict[str, Any]]:
    """Read a log; a line torn by a crash is left out."""
    try:
        text = log.read_text(encoding="utf-8") if log.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"could not read `{log}`: {error}") from None
    found = []
    for line in text.splitlines():
        try:
            value = parse_json(line, f"`{log}`")
        except InvalidError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
