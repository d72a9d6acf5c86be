"""The report: one HTML file that needs no network, no server, and no other file."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from spice_cli.report import questions
from spice_cli.report.questions import Questions
from spice_cli.report.sprite import Sprite
from spice_cli.report.tables import marked

SCRIPTS = ("page.js", "gallery.js", "questions.js", "map.js")


@dataclass(frozen=True)
class Cluster:
    """What is shown of one cluster."""

    id: int
    name: str
    size: int
    confidence: float
    """Mean over its images; 0 where there are none."""
    truth: str
    """Its most frequent class and purity, or empty where truth is unknown."""
    galleries: Mapping[str, Sequence[int]]
    """Title of a row to its pictures: places in the gallery."""


@dataclass(frozen=True)
class Finding:
    """What is odd: groups of pictures of the gallery, each with a word about it."""

    title: str
    note: str
    groups: Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True)
class Points:
    """The images on the map, and as many thumbnails in the same order."""

    path: Sequence[str]
    cluster: Sequence[int]
    confidence: Sequence[float]
    maps: Mapping[str, tuple[Sequence[int], Sequence[int]]]
    """Name of a projection to x and y, from 0 to 65535; empty where there are no embeddings."""
    thumbnails: Sprite | None


@dataclass(frozen=True)
class Page:
    """All that a report shows; a sprite is None where the run has no images."""

    title: str
    summary: Sequence[str]
    measure: str
    """What tells how well an image belongs: `confidence` or `cosine`."""
    clusters: Sequence[Cluster]
    gallery: Sprite | None
    captions: Sequence[str]
    """One a picture of the gallery."""
    heat: str
    """How to read the heat maps; empty where there are none."""
    points: Points
    questions: Questions
    findings: Sequence[Finding]
    numbers: Sequence[str]
    """HTML of tables."""
    charts: Sequence[str]
    """SVG."""
    settings: Sequence[str]
    """HTML of what the run was made of."""


def render(page: Page) -> str:
    """Return the page as HTML; texts are escaped, bytes that are no text replaced."""
    script = "".join(map(_text, SCRIPTS))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = _text("page.html").format(
        title=escape(page.title),
        hash=f"sha256-{digest}",
        css=_text("page.css"),
        js=script,
        summary="".join(f"<li>{marked(line)}</li>" for line in page.summary),
        heat=marked(f" {page.heat}") if page.heat else "",
        measure=escape(page.measure.capitalize()),
        asking=marked(page.questions.note or questions.told(page.questions)),
        numbers="".join(page.numbers),
        charts="".join(page.charts),
        settings="".join(page.settings),
        data=_json(_data(page)),
        gallery=page.gallery.jpeg if page.gallery else "",
        thumbnails=page.points.thumbnails.jpeg if page.points.thumbnails else "",
    )
    return html.encode("utf-8", "replace").decode()


def _data(page: Page) -> dict[str, Any]:
    return {
        "measure": page.measure,
        "mapped": bool(page.points.maps),
        "clusters": [
            {
                "id": each.id,
                "name": each.name,
                "size": each.size,
                "confidence": round(each.confidence, 4),
                "truth": each.truth,
                "galleries": {title: list(row) for title, row in each.galleries.items()},
            }
            for each in page.clusters
        ],
        "gallery": {**_facts(page.gallery), "captions": list(page.captions)},
        "thumbnails": _facts(page.points.thumbnails),
        "points": {
            "path": list(page.points.path),
            "cluster": list(page.points.cluster),
            "confidence": list(page.points.confidence),
            "maps": {name: {"x": x, "y": y} for name, (x, y) in page.points.maps.items()},
        },
        "questions": questions.facts(page.questions),
        "findings": [
            {"title": each.title, "note": each.note, "groups": each.groups}
            for each in page.findings
        ],
    }


def _facts(sprite: Sprite | None) -> dict[str, int]:
    if sprite is None:
        return {"side": 0, "columns": 0, "count": 0}
    return {"side": sprite.side, "columns": sprite.columns, "count": sprite.count}


def _json(value: Any) -> str:
    """Spell JSON in ASCII so that nothing in it can end the script element that holds it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _text(name: str) -> str:
    return files("spice_cli.report").joinpath(name).read_text(encoding="utf-8")
