"""Which columns of a Parquet file hold the images and the labels: read off its schema alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spice_cli.data.spelling import text
from spice_cli.errors import InvalidError
from spice_cli.json_text import parse_json

LABELS = ("label", "labels", "fine_label", "coarse_label")
"""Tried in this order before any other column that the metadata call a ClassLabel."""


@dataclass(frozen=True)
class Columns:
    """`image` is the column to read, bytes inside (`image.bytes`) or by itself (`image`)."""

    image: str
    label: str | None
    classes: int | None
    names: tuple[str, ...] | None


def find_columns(schema: pa.Schema, source: str) -> Columns:
    """Return the columns of a file in the Hugging Face image convention.

    Images: the column `image` or `img`, else the only struct with `bytes`, else the only binary
    column. Labels: the ClassLabel of the Hugging Face metadata, else an integer column `label`.
    Raises InvalidError that names `source` where no single column holds images, or several that
    labels go by.
    """
    declared = {
        name: feature
        for name, feature in _features(schema).items()
        if isinstance(feature, dict)
        and feature.get("_type") == "ClassLabel"
        and name in schema.names
    }
    ranked = [name for name in (*LABELS, *declared) if name in declared]
    label = ranked[0] if ranked else _plain_label(schema, source)
    if label is not None:
        _single(schema, label, source)
    names, classes = _classes(declared.get(label or "", {}))
    return Columns(_image(schema, source), label, classes, names)


def label_values(values: pa.ChunkedArray, name: str, source: str) -> np.ndarray:
    """Return a column of labels (n,) int64, -1 where there is none.

    Raises InvalidError that names `source` where they are no whole numbers below 2^63.
    """
    try:
        if not pa.types.is_integer(values.type):
            raise ValueError
        return np.asarray(values.cast(pa.int64()).fill_null(-1).to_numpy())
    except (pa.ArrowException, ValueError):
        raise InvalidError(
            f"labels in `{name}` of `{source}` are {values.type}, not whole numbers below 2^63",
            hint="store them as int64, -1 where an image has none",
        ) from None


def _image(schema: pa.Schema, source: str) -> str:
    fields = [field for field in schema if field.name in ("image", "img")]
    for candidates in (fields, list(schema)):
        for test, suffix in ((_has_bytes, ".bytes"), (_is_binary, "")):
            names = [field.name for field in candidates if test(field.type)]
            if len(names) == 1:
                return f"{names[0]}{suffix}"
    found = ", ".join(f"`{field.name}` {field.type}" for field in schema)
    raise InvalidError(
        f"`{source}` has no single column of images: {found}",
        hint="call the column `image`: a struct with the encoded file in `bytes`",
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _has_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and any(
        field.name == "bytes" and _is_binary(field.type) for field in kind
    )


def _plain_label(schema: pa.Schema, source: str) -> str | None:
    for name in LABELS[:2]:
        if name in schema.names and pa.types.is_integer(_single(schema, name, source).type):
            return name
    return None


def _single(schema: pa.Schema, name: str, source: str) -> pa.Field:
    found = [field for field in schema if field.name == name]
    if len(found) > 1:
        raise InvalidError(
            f"`{source}` has {len(found)} columns `{name}`", hint="leave one of them in it"
        )
    return found[0]


def _classes(feature: dict[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    names, number = feature.get("names"), feature.get("num_classes")
    if isinstance(names, list) and names:
        return tuple(text(str(name)) for name in names), len(names)
    return None, number if isinstance(number, int) and 0 < number < 2**31 else None


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        text = (schema.metadata or {})[b"huggingface"]
        features = parse_json(text, "its metadata")["info"]["features"]
    except (KeyError, TypeError, InvalidError):
        return {}
    return features if isinstance(features, dict) else {}
