import json

import pyarrow as pa
import pytest

from spice_cli.data.columns import Columns, find_columns
from spice_cli.errors import InvalidError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def schema(columns: dict[str, pa.DataType], features: object = None) -> pa.Schema:
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    return pa.schema(list(columns.items()), metadata if features is not None else None)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": IMAGE, "other": IMAGE}, "image.bytes"),
        ({"img": IMAGE, "mask": pa.binary()}, "img.bytes"),
        ({"image": pa.binary(), "mask": IMAGE}, "image"),
        ({"picture": IMAGE, "id": pa.string()}, "picture.bytes"),
        ({"jpg": pa.large_binary(), "id": pa.int32()}, "jpg"),
    ],
)
def test_the_image_column_is_found(columns: dict[str, pa.DataType], expected: str) -> None:
    assert find_columns(schema(columns), "f").image == expected


@pytest.mark.parametrize("columns", [{"a": IMAGE, "b": IMAGE}, {"text": pa.string()}, {}])
def test_no_single_image_column_is_an_error(columns: dict[str, pa.DataType]) -> None:
    with pytest.raises(InvalidError, match="`f` has no single column of images"):
        find_columns(schema(columns), "f")


def test_names_of_a_class_label_are_declared_classes() -> None:
    features = {"kind": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    found = find_columns(schema({"image": IMAGE, "kind": pa.int64()}, features), "f")
    assert found == Columns("image.bytes", "kind", 2, ("cat", "dog"))


def test_fine_labels_come_before_coarse_ones_and_label_before_both() -> None:
    features = {
        name: {"_type": "ClassLabel", "num_classes": classes}
        for name, classes in [("coarse_label", 20), ("fine_label", 100), ("label", 7)]
    }
    columns = {"image": IMAGE, "coarse_label": pa.int64(), "fine_label": pa.int64()}
    assert find_columns(schema(columns, features), "f").classes == 100
    columns["label"] = pa.int64()
    assert find_columns(schema(columns, features), "f").classes == 7


def test_an_integer_column_is_a_label_that_declares_no_classes() -> None:
    found = find_columns(schema({"image": IMAGE, "label": pa.int32()}), "f")
    assert (found.label, found.classes, found.names) == ("label", None, None)
    assert find_columns(schema({"image": IMAGE, "label": pa.string()}), "f").label is None


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"\xff", b'{"info": {"features": 3}}', b"null", b"[" * 200_000]
)
def test_nonsense_metadata_are_ignored(text: bytes) -> None:
    broken = pa.schema({"image": IMAGE, "label": pa.int64()}, {b"huggingface": text})
    assert find_columns(broken, "f") == Columns("image.bytes", "label", None, None)


def test_labels_that_go_by_one_name_twice_are_refused() -> None:
    twice = pa.schema([("image", IMAGE), ("label", pa.int64()), ("label", pa.int64())])
    with pytest.raises(InvalidError, match="`f` has 2 columns `label`") as caught:
        find_columns(twice, "f")
    assert caught.value.hint


def test_names_that_are_no_text_are_spelled() -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["\ud800", "b"]}}
    found = find_columns(schema({"image": IMAGE, "label": pa.int64()}, features), "f")
    assert found.names == ("\\ud800", "b")
