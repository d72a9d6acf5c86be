"""Which columns of a Parquet file hold the images and the labels: read off its schema alone."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spice_cli.errors import InvalidError

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
    Raises InvalidError that names `source` where no single column holds images.
    """
    declared = {
        name: feature
        for name, feature in _features(schema).items()
        if isinstance(feature, dict)
        and feature.get("_type") == "ClassLabel"
        and name in schema.names
    }
    ranked = [name for name in (*LABELS, *declared) if name in declared]
    label = ranked[0] if ranked else _plain_label(schema)
    names, classes = _classes(declared.get(label or "", {}))
    return Columns(_image(schema, source), label, classes, names)


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


def _plain_label(schema: pa.Schema) -> str | None:
    for name in LABELS[:2]:
        if name in schema.names and pa.types.is_integer(schema.field(name).type):
            return name
    return None


def _classes(feature: dict[str, Any]) -> tuple[tuple[str, ...] | None, int | None]:
    names, number = feature.get("names"), feature.get("num_classes")
    if isinstance(names, list) and names:
        return tuple(map(str, names)), len(names)
    return None, number if isinstance(number, int) and number > 0 else None


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}
