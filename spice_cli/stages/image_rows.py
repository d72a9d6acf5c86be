"""One row an image, as text lines or as a file: what `predict` and `export` tell of images."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spice_cli.errors import UsageError
from spice_cli.run.files import quoted, replacing
from spice_cli.visible import field, json_line

Row = Mapping[str, Any]
KINDS = {"path": pa.string(), "cluster": pa.int64(), "name": pa.string(), "unusual": pa.bool_()}
"""Types of columns; all others are numbers."""
TOGETHER = 10_000
FORMATS = ("tsv", "csv", "jsonl", "parquet")


def lines(rows: Iterable[Row], columns: Sequence[str], format: str) -> Iterator[str]:
    """Yield `rows` as lines without their ends, `tsv` and `csv` after a line of column names.

    What is None stays empty. In `tsv` backslashes and control characters, among them tabs and ends
    of lines, are spelled as `field` does; `csv` is that of RFC 4180, with names as they are;
    `jsonl` is one object a line, whose control characters are escaped.
    """
    if format == "jsonl":
        for row in rows:
            yield json_line({name: row[name] for name in columns})
        return
    join: Callable[[Sequence[str]], str] = _csv if format == "csv" else _tsv
    yield join(columns)
    for row in rows:
        yield join([_text(row[name]) for name in columns])


def write(file: Path, rows: Iterable[Row], columns: Sequence[str], format: str) -> None:
    """Write `rows` to a file, whole or not at all; it may be larger than memory.

    Raises:
        InvalidError: the disk is full, or nothing may be written there.
    """
    with replacing(file) as partial:
        if format == "parquet":
            _parquet(partial, rows, columns)
            return
        end = "\r\n" if format == "csv" else "\n"
        with partial.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(line + end for line in lines(rows, columns, format))


def format_of(file: Path, asked: str | None) -> str:
    """Return the format that was asked for, else the one that a file's name ends in."""
    ending = file.suffix.lower().removeprefix(".")
    if asked is None and ending not in FORMATS:
        raise UsageError(
            f"`{file}` does not end in one of {', '.join(f'.{each}' for each in FORMATS)}",
            hint=f"--output {quoted(file.with_suffix('.csv'))}",
        )
    return asked or ending


def _parquet(file: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    schema = pa.schema([(name, KINDS.get(name, pa.float32())) for name in columns])
    stream = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while some := list(islice(stream, TOGETHER)):
            writer.write_table(pa.Table.from_pylist([dict(row) for row in some], schema=schema))


def _csv(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n")


def _tsv(cells: Sequence[str]) -> str:
    return "\t".join(map(field, cells))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
