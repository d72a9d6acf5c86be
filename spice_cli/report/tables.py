"""What a report says in tables: readable without a script."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from spice_cli.figures import figure

MOST_CELLS, MOST_MIXED, MOST_FILES = 40, 40, 500
"""Classes or clusters that a matrix shows as a table; mixtures and files that a list shows."""


def marked(text: str) -> str:
    """Escape a text; what stands in backticks becomes code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", text: int = 1
) -> str:
    """Return a table whose first column names the rows and whose first `text` columns are words."""

    def kind(at: int) -> str:
        return ' class="text"' if at < text else ""

    head = "".join(f'<th scope="col"{kind(at)}>{escape(c)}</th>' for at, c in enumerate(columns))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{kind(at)}>{escape(cell)}</td>" for at, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    about = f"<caption>{marked(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f"<table>{about}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def matrix(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix, shaded by the share of its row; a large one as its worst cells.

    Columns are sorted so that the cluster matched with a class has the class's place.
    """
    if max(len(rows), len(columns)) > MOST_CELLS:
        return _mixed(rows, columns, counts)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = []
    for name, line in zip(rows, counts, strict=True):
        total = max(1, sum(line))
        cells = "".join(f'<td style="--share:{c / total:.3f}">{c or ""}</td>' for c in line)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">'
        '<table class="matrix"><caption>Images of each class (rows) in each cluster (columns)'
        f'</caption><thead><tr><th scope="col"></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _mixed(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    cells = [
        (count, row, column)
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count and row != column
    ]
    worst = sorted(cells, key=lambda cell: (-cell[0], cell[1], cell[2]))[:MOST_MIXED]
    told = [
        [rows[row], columns[column], rows[column] if column < len(rows) else "none", f"{count:,}"]
        for count, row, column in worst
    ]
    return table(
        ["class", "in cluster", "matched with class", "images"],
        told,
        caption=f"The {len(told)} largest groups of images outside the cluster of their class",
        text=3,
    )


def scores(values: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table of scores by what they are of; nothing where there are none."""
    names = list(dict.fromkeys(name for scored in values.values() for name in scored))
    rows = [
        [of, *(figure(scored[name]) if name in scored else "" for name in names)]
        for of, scored in values.items()
    ]
    return table(["", *names], rows, caption="Scores") if names else ""


def facts(settings: Mapping[str, Any]) -> str:
    """Return nested settings, folded up."""
    return "".join(
        f"<details><summary>{escape(name)}</summary><pre>"
        f"{escape(json.dumps(value, indent=2, default=str, ensure_ascii=False))}</pre></details>"
        for name, value in settings.items()
    )


def listed(title: str, names: Sequence[str]) -> str:
    """Return names under a title, folded up; nothing where there are none."""
    if not names:
        return ""
    lines = "".join(f"<li>{escape(name)}</li>" for name in names[:MOST_FILES])
    rest = len(names) - MOST_FILES
    more = f"<li>and {rest:,} more</li>" if rest > 0 else ""
    return (
        f'<details><summary>{escape(title)}</summary><ul class="files">{lines}{more}</ul></details>'
    )
