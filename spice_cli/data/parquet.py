"""Parquet files in the Hugging Face image convention: encoded images beside their labels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.columns import Columns, find_columns
from spice_cli.data.dataset import Dataset, Say, as_labels
from spice_cli.data.decoded import keep_decoded
from spice_cli.data.encoded import Item
from spice_cli.data.shards import find_shards
from spice_cli.errors import InvalidError

BATCH = 256
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


def _open(file: Path, function: Callable[[Path, pq.ParquetFile], T]) -> T:
    try:
        with pq.ParquetFile(file) as reader:
            return function(file, reader)
    except UNREADABLE as error:
        raise _corrupt(file, error) from error


def _items(file: Path, column: str, rows: int) -> Iterator[Item]:
    row = 0
    try:
        with pq.ParquetFile(file) as reader:
            for batch in reader.iter_batches(BATCH, columns=[column]):
                values = batch.column(0)
                if pa.types.is_struct(values.type):
                    values = pc.struct_field(values, "bytes")
                for value in values.to_pylist()[: rows - row]:
                    yield f"{file.name} row {row}", value
                    row += 1
        if row != rows:
            raise ValueError(f"it declares {rows} rows and holds {row}")
    except UNREADABLE as error:
        raise _corrupt(file, error) from error


def _labels(file: Path, columns: Columns, rows: int) -> np.ndarray:
    if columns.label is None:
        return np.full(rows, -1)
    table = _open(file, lambda _, reader: reader.read(columns=[columns.label]))
    values = table.column(0)
    if len(values) != rows:
        raise _corrupt(file, ValueError(f"it declares {rows} rows and holds {len(values)}"))
    if not pa.types.is_integer(values.type):
        raise InvalidError(f"labels in `{columns.label}` of `{file.name}` are {values.type}")
    return np.asarray(values.fill_null(-1).to_numpy())


def _corrupt(file: Path, error: Exception) -> InvalidError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InvalidError(f"`{file}` is not a readable Parquet file: {reason}")
