"""Parquet files in the Hugging Face image convention: encoded images beside their labels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.columns import Columns, find_columns, label_values
from spice_cli.data.dataset import Dataset, Say, as_labels
from spice_cli.data.decoded import keep_decoded
from spice_cli.data.encoded import Item
from spice_cli.data.pages import Page, heaviest, pages
from spice_cli.data.shards import find_shards
from spice_cli.data.unpacked import ROOMY, cell, most_unpacked
from spice_cli.errors import InvalidError

BATCH, BUFFER = 256, 2**20
"""Rows that are read at once where they are small; bytes of the file."""
UNREADABLE = (pa.ArrowException, OSError, ValueError)
T = TypeVar("T")


def parquet(spec: DataSpec, say: Say) -> Dataset:
    """Return the images of a Parquet file or of a directory of them.

    Which files are which split: `find_shards`; which columns: `find_columns`. Labels lie in their
    own column, which no read touches before `read_labels`.
    Raises InvalidError where a file is corrupt or the files disagree on the classes.
    """
    train, test = find_shards(Path(spec.name), spec.test, say)
    files = [*train, *test]
    columns = {
        file: _open(file, lambda f, r: find_columns(r.schema_arrow, f.name)) for file in files
    }
    rows = {file: _open(file, lambda _, r: int(r.metadata.num_rows)) for file in files}
    declared = {(found.classes, found.names) for found in columns.values() if found.classes}
    if len(declared) > 1:
        raise InvalidError(f"the files of `{spec.name}` declare different classes")
    classes, names = next(iter(declared), (None, None))

    def items() -> Iterator[Item]:
        for file in files:
            yield from _items(file, columns[file].image, rows[file])

    count = sum(rows[f] for f in train)
    decoded = keep_decoded(items, files, count, sum(rows.values()), spec, say)

    def read_labels() -> Tensor | None:
        values = [_labels(file, columns[file], rows[file]) for file in files]
        return as_labels(np.concatenate(values)[decoded.kept.numpy()], f"labels of `{spec.name}`")

    return Dataset(
        images=decoded.images,
        train=decoded.train,
        classes=classes,
        names=names,
        paths=None,
        bad=decoded.bad,
        mark=decoded.mark,
        read_labels=read_labels,
    )


def classes_in(spec: DataSpec) -> int | None:
    """Return how many classes the schemas declare; errors as in `parquet`."""
    train, test = find_shards(Path(spec.name), spec.test, lambda _: None)
    found = (
        _open(file, lambda f, r: find_columns(r.schema_arrow, f.name)) for file in train + test
    )
    return next((columns.classes for columns in found if columns.classes), None)


def _open(file: Path, function: Callable[[Path, pq.ParquetFile], T]) -> T:
    try:
        with pq.ParquetFile(file, buffer_size=BUFFER) as reader:
            return function(file, reader)
    except UNREADABLE as error:
        raise _corrupt(file, error) from error


def _items(file: Path, column: str, rows: int) -> Iterator[Item]:
    row = 0
    try:
        with pq.ParquetFile(file, buffer_size=BUFFER) as reader:
            for batch in _batches(file, reader, column):
                values = batch.column(0)
                if pa.types.is_struct(values.type):
                    values = pc.struct_field(values, "bytes")
                for at in range(min(len(values), rows - row)):
                    yield f"{file.name} row {row}", cell(values, at)
                    row += 1
        if row != rows:
            raise ValueError(f"it declares {rows} rows and holds {row}")
    except UNREADABLE as error:
        raise _corrupt(file, error) from error


def _batches(file: Path, reader: pq.ParquetFile, column: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a column, as many at once as take no more than `ROOMY` bytes."""
    with file.open("rb") as opened:
        for group in range(reader.metadata.num_row_groups):
            few, found = BATCH, _pages(file, opened, reader, group, column)
            while few > 1 and heaviest(found, few) > ROOMY:
                few //= 2
            yield from reader.iter_batches(few, row_groups=[group], columns=[column])


def _pages(
    file: Path, opened: BinaryIO, reader: pq.ParquetFile, group: int, column: str
) -> list[Page]:
    """Return the pages of a column in a row group; ValueError where one would unpack too far."""
    told = reader.metadata.row_group(group)
    found: list[Page] = []
    for index in range(told.num_columns):
        chunk = told.column(index)
        if chunk.path_in_schema == column:
            first, start = chunk.data_page_offset, chunk.dictionary_page_offset
            begins = start if start is not None and 0 < start < first else first
            found += pages(opened, begins, chunk.num_values, most_unpacked(file))
    return found


def _labels(file: Path, columns: Columns, rows: int) -> np.ndarray:
    name = columns.label
    if name is None:
        return np.full(rows, -1)

    def read(_: Path, reader: pq.ParquetFile) -> pa.ChunkedArray:
        with file.open("rb") as opened:
            for group in range(reader.metadata.num_row_groups):
                _pages(file, opened, reader, group, name)
        return reader.read(columns=[name]).column(0)

    values = _open(file, read)
    if len(values) != rows:
        raise _corrupt(file, ValueError(f"it declares {rows} rows and holds {len(values)}"))
    return label_values(values, name, file.name)


def _corrupt(file: Path, error: Exception) -> InvalidError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InvalidError(
        f"`{file}` is not a readable Parquet file: {reason}", hint="write it again, or get it again"
    )
