"""Names of files, classes and clusters that want to be markup, in reports and exports."""

import csv
import json
import random
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

Read = Callable[[], object]
Kind = Callable[[random.Random], Read]
PARTS = [
    "<script>alert(1)</script>", "</script>", "<!--", "-->", "<![CDATA[", "]]>", "<img src=x>",
    '"', "'", "`", "&lt;", "&#60;", "&amp", "&", "<", ">", "\\", "\\u003c", "{", "}", "{title}",
    "%s", "\u2028", "\u2029", "\u202e", "\u200f", "\ufeff", "\0", "\x1b[31m", "\t", "\n", "\r",
    "\udcff", "\ud83d", "\U0001f600", "</style>", "</title>", "onerror=alert(1)", "javascript:",
    " ", "=1+1", ",", ";", "é", "e\u0301", "a" * 300, "__proto__", "constructor",
]  # fmt: skip


class Seen(HTMLParser):
    """The elements of a page, each with its attributes, and the text in scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.data = ""
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep its name, and those of its attributes."""
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.inside = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        """Keep the JSON of the page."""
        self.data += data if self.inside else ""

    def handle_comment(self, data: str) -> None:
        """Refuse one: there are none."""
        raise AssertionError(f"a comment: {data[:50]}")

    def unknown_decl(self, data: str) -> None:
        """Refuse one: there are none."""
        raise AssertionError(f"a declaration: {data[:50]}")


def reports(folder: Path) -> Kind:
    """Reports: the elements are those of a page with plain names, and the names come back."""
    from spice_cli.report.page import render

    def read(names: list[str]) -> None:
        html, plain = render(page(names)), render(page(["x"] * len(names)))
        html.encode("utf-8")
        seen, expected = parsed(html), parsed(plain)
        few = [element for element in seen.elements if element[0] != "code"]
        assert few == [element for element in expected.elements if element[0] != "code"]
        assert all(element in (*few, ("code", ())) for element in seen.elements)
        told = json.loads(seen.data)
        back = [joined(each) for each in names]
        assert told["points"]["path"] == back
        assert told["clusters"][0]["name"] == back[0]
        assert [each["key"] for each in told["questions"]["asked"]] == back[:1]
        assert told["gallery"]["captions"] == back

    return lambda draw: partial(read, [name(draw) for _ in range(4)])


def exports(folder: Path) -> Kind:
    """Exports: what is written is read again as the same names, but for bytes that are no text."""
    import pyarrow.parquet as pq

    from spice_cli.data.spelling import text
    from spice_cli.stages.image_rows import lines, write

    columns = ("path", "cluster", "name")

    def read(names: list[str]) -> None:
        rows: list[dict[str, Any]] = [
            {"path": text(Path(each)), "cluster": at, "name": spoken(each)}
            for at, each in enumerate(names)
        ]
        expected = [[str(row[column]) for column in columns] for row in rows]
        files = {kind: folder / f"x.{kind}" for kind in ("csv", "jsonl", "parquet", "tsv")}
        for kind, file in files.items():
            write(file, rows, columns, kind)
        with files["csv"].open(encoding="utf-8", newline="") as stream:
            assert list(csv.reader(stream))[1:] == expected
        loaded = [json.loads(line) for line in files["jsonl"].read_text("utf-8").split("\n")[:-1]]
        assert loaded == rows
        assert pq.read_table(files["parquet"]).to_pylist() == rows
        assert files["tsv"].read_bytes().count(b"\n") == len(rows) + 1
        assert all(line.count("\t") == 2 for line in lines(rows, columns, "tsv"))

    return lambda draw: partial(read, [name(draw) for _ in range(4)])


def parsed(html: str) -> Seen:
    """Parse a page."""
    seen = Seen()
    seen.feed(html)
    seen.close()
    return seen


def name(draw: random.Random) -> str:
    """Put a few odd parts together, now and then any characters."""
    some = [draw.choice(PARTS) for _ in range(draw.randint(1, 6))]
    if draw.random() < 0.2:
        some.append("".join(chr(draw.randrange(0x110000)) for _ in range(draw.randint(1, 9))))
    return "".join(some)


def spoken(text: str) -> str:
    """Return a text as a file name that was decoded, or as a cluster's name, can be."""
    return text.encode("utf-8", "backslashreplace").decode()


def joined(text: str) -> str:
    """Return a text as JSON brings it back: two halves of a character beside each other are it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def page(names: list[str]) -> Any:
    """Make a page in which the names stand wherever names can."""
    from spice_cli.report.page import Cluster, Finding, Page, Points
    from spice_cli.report.questions import Ask, Questions
    from spice_cli.report.tables import facts, listed, marked, matrix, scores, table

    first, count = names[0], len(names)
    numbers = [scores({first: {first: 1.0}}), matrix(names, names, [[1] * count] * count)]
    numbers += [table(names, [names], caption=first), f"<p>{marked(first)}</p>"]
    return Page(
        title=first,
        summary=names,
        measure=first,
        clusters=[Cluster(0, first, 1, 0.5, first, {first: [0]})],
        gallery=None,
        captions=names,
        heat=first,
        points=Points(names, [0] * count, [0.5] * count, {first: ([1], [2])}, None),
        questions=Questions([Ask(first, first, 0, [(0, 0.5)])], [(0, first)], "", first),
        findings=[Finding(first, first, [(first, [0])])],
        numbers=numbers,
        charts=[],
        settings=[facts({first: {first: names}}), listed(first, names)],
    )
