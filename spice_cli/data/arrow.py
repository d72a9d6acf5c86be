"""A Hugging Face data set as `save_to_disk` leaves it: Arrow streams beside their state."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.columns import Columns, find_columns, label_values
from spice_cli.data.dataset import Dataset, Say, as_labels
from spice_cli.data.decoded import keep_decoded
from spice_cli.data.encoded import Item
from spice_cli.data.links import bounds, inside
from spice_cli.data.messages import check_messages
from spice_cli.data.saved import SPLITS, STATE
from spice_cli.data.unpacked import cell
from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json

UNREADABLE = (pa.ArrowException, OSError, ValueError)


def arrow(spec: DataSpec, say: Say) -> Dataset:
    """Return the images of a data set on disk, or of the train and test splits of several.

    Splits are those that `dataset_dict.json` names: `train`, and `test` or else `validation`; a
    lone one is all train. Which columns: `find_columns`. Images are read from the bytes in the
    files, never from a path that the files name. Labels lie in their own column, which nothing
    looks at before `read_labels`. Raises MissingError where a file is not there, InvalidError where
    one is corrupt.
    """
    root = Path(spec.name)
    splits = [_files(folder) for folder in _splits(root)]
    files = [file for some in splits for file in some]
    columns: dict[Path, Columns] = {}
    rows: dict[Path, int] = {}
    for file in files:
        with _stream(file) as stream:
            check_messages(file)
            columns[file] = find_columns(stream.schema, file.name)
            rows[file] = sum(batch.num_rows for batch in stream)

    def items() -> Iterator[Item]:
        for file in files:
            yield from _items(file, columns[file].image)

    count = sum(rows[file] for file in splits[0])
    decoded = keep_decoded(items, files, count, sum(rows.values()), spec, say)

    def read_labels() -> Tensor | None:
        values = [_labels(file, columns[file].label, rows[file]) for file in files]
        return as_labels(np.concatenate(values)[decoded.kept.numpy()], f"labels of `{root}`")

    return Dataset(
        images=decoded.images,
        train=decoded.train,
        classes=columns[files[0]].classes,
        names=columns[files[0]].names,
        paths=None,
        bad=decoded.bad,
        mark=decoded.mark,
        read_labels=read_labels,
    )


def classes_in(root: Path) -> int | None:
    """Return how many classes the schema declares; errors as in `arrow`."""
    file = _files(_splits(root)[0])[0]
    with _stream(file) as stream:
        return find_columns(stream.schema, file.name).classes


def _splits(root: Path) -> list[Path]:
    if not (root / SPLITS).is_file():
        return [root]
    names = _listed(root / SPLITS, "splits")
    known = [name for name in names if isinstance(name, str) and _split(root, name)]
    if not known:
        raise MissingError(f"`{root}` holds none of the splits that its `{SPLITS}` names")
    tests = [name for name in ("test", "validation", "val") if name in known]
    chosen = ["train", tests[0]] if "train" in known and tests else [known[0]]
    return [root / name for name in chosen]


def _split(root: Path, name: str) -> bool:
    folder = root / _plain(name)
    return folder.is_dir() and inside(folder, bounds(root))


def _files(folder: Path) -> list[Path]:
    state = folder / STATE
    if state.is_file():
        listed = _listed(state, "_data_files")
        names = [each.get("filename") if isinstance(each, dict) else each for each in listed]
        files = [folder / _plain(str(name)) for name in names]
    else:
        files = sorted(folder.glob("*.arrow"))
    root = bounds(folder)
    missing = [file for file in files if not file.is_file() or not inside(file, root)]
    if missing or not files:
        gone = missing[0] if missing else folder / "*.arrow"
        raise MissingError(f"`{gone}` is not there", hint="save it again with `save_to_disk`")
    return files


def _plain(name: str) -> str:
    if Path(name).name != name or name in ("", ".", ".."):
        raise InvalidError(f"`{name}` is not the name of a file in its own directory")
    return name


def _listed(file: Path, key: str) -> list[Any]:
    try:
        if not inside(file, bounds(file.parent)):
            raise ValueError("it is a link out of its directory")
        content = parse_json(file.read_bytes(), "it")
    except (OSError, ValueError, InvalidError) as error:
        raise _corrupt(file, error) from error
    found = content.get(key) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(found, list | None):
        raise _corrupt(file, ValueError(f"it is no JSON object with a list `{key}`"))
    return found or []


@contextmanager
def _stream(file: Path) -> Iterator[pa.RecordBatchReader]:
    try:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
            yield stream
    except UNREADABLE as error:
        raise _corrupt(file, error) from error


def _items(file: Path, column: str) -> Iterator[Item]:
    name, row = column.removesuffix(".bytes"), 0
    with _stream(file) as stream:
        for batch in stream:
            values = batch.column(name)
            values.validate(full=True)
            if pa.types.is_struct(values.type):
                values = pc.struct_field(values, "bytes")
            for at in range(len(values)):
                yield f"{file.parent.name}/{file.name} row {row}", cell(values, at)
                row += 1


def _labels(file: Path, label: str | None, rows: int) -> np.ndarray:
    if label is None:
        return np.full(rows, -1)
    with _stream(file) as stream:
        parts = [batch.column(label) for batch in stream]
        values = pa.chunked_array(parts, stream.schema.field(label).type)
        values.validate(full=True)
    return label_values(values, label, file.name)


def _corrupt(file: Path, error: Exception) -> InvalidError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InvalidError(
        f"`{file}` is not readable as part of a saved data set: {reason}",
        hint="save it again with `save_to_disk`",
    )
