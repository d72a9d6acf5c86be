import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spice_cli.errors import UsageError
from spice_cli.stages.image_rows import format_of, lines, write

COLUMNS = ("path", "cluster", "name", "confidence", "unusual")
ROWS = [
    {"path": "a.jpg", "cluster": 3, "name": 'red, "cars"', "confidence": 0.25, "unusual": False},
    {"path": "b\tc\n.jpg", "cluster": None, "name": None, "confidence": None, "unusual": None},
]


def test_csv_is_what_every_reader_of_csv_reads() -> None:
    text = "\r\n".join(lines(ROWS, COLUMNS, "csv"))
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found == [
        list(COLUMNS),
        ["a.jpg", "3", 'red, "cars"', "0.25", "false"],
        ["b\tc\n.jpg", "", "", "", ""],
    ]


def test_tsv_has_one_line_an_image_whatever_its_name() -> None:
    found = [line.split("\t") for line in lines(ROWS, COLUMNS, "tsv")]
    assert [len(cells) for cells in found] == [5, 5, 5]
    assert found[2][0] == r"b\tc\n.jpg"


def test_jsonl_has_nulls_where_nothing_is_known() -> None:
    first, second = map(json.loads, lines(ROWS, COLUMNS, "jsonl"))
    assert first == ROWS[0]
    assert second == ROWS[1]


def test_parquet_has_types(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", iter(ROWS), COLUMNS, "parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.to_pylist() == ROWS
    assert [str(each) for each in table.schema.types] == [
        "string", "int64", "string", "float", "bool",
    ]  # fmt: skip


def test_parquet_of_nothing_still_has_columns(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", iter([]), COLUMNS, "parquet")
    assert pq.read_table(tmp_path / "x.parquet").column_names == list(COLUMNS)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken():
        yield ROWS[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(tmp_path / "x.csv", broken(), COLUMNS, "csv")
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_file_says_its_format() -> None:
    assert format_of(Path("x.CSV"), None) == "csv"
    assert format_of(Path("x.txt"), "tsv") == "tsv"
    with pytest.raises(UsageError, match="does not end in one of"):
        format_of(Path("x.txt"), None)
