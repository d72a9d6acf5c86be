"""Asking whether classes are declared says what loading does, and decodes nothing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data.declared import undeclared
from spice_cli.data.load import load
from spice_cli.errors import MissingError

TREES: dict[str, tuple[str, ...]] = {
    "flat": ("a.png", "b.png"),
    "classes": ("cat/a.png", "dog/b.png"),
    "deep": ("cat/x/y/a.png", "dog/b.JPG"),
    "one beside": ("cat/a.png", "dog/b.png", "c.png"),
    "one class": ("cat/a.png", "cat/b.png"),
    "an empty class": ("cat/a.png", "cat/b.png", "dog/notes.txt"),
    "hidden": ("cat/a.png", "cat/b.png", ".dog/b.png", "ant/.c.png"),
    "others beside": ("cat/a.png", "dog/b.png", "notes.txt", "Thumbs.db"),
    "splits": ("train/cat/a.png", "train/dog/b.png", "test/cat/a.png"),
    "splits of one each": ("train/cat/a.png", "train/cat/b.png", "test/dog/a.png"),
    "plain splits": ("train/a.png", "train/b.png", "test/a.png"),
    "one plain split": ("train/cat/a.png", "train/dog/b.png", "val/a.png"),
}


def put(root: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        kind = "PNG" if name.lower().endswith(("png", "jpg")) else "BMP"
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(root / name, kind)


@pytest.mark.parametrize("name", TREES)
def test_folders_are_told_by_their_names(tmp_path: Path, name: str) -> None:
    put(tmp_path, TREES[name])
    spec = DataSpec(name=str(tmp_path))
    assert undeclared(spec) == (load(spec, lambda _: None).classes is None)


def test_links_are_followed_no_further_than_by_loading(tmp_path: Path) -> None:
    put(tmp_path / "in", ("cat/a.png", "cat/b.png"))
    put(tmp_path / "out", ("x.png",))
    (tmp_path / "in" / "dog").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "z.png").symlink_to(tmp_path / "out" / "x.png")
    put(tmp_path / "in", ("eel/c.png",))
    spec = DataSpec(name=str(tmp_path / "in"))
    assert load(spec, lambda _: None).classes == 2
    assert not undeclared(spec)


@pytest.mark.parametrize("names", [None, ["ant", "bee"]])
def test_tables_are_told_by_their_schema(tmp_path: Path, names: list[str] | None) -> None:
    features = {"label": {"_type": "ClassLabel", "names": names}} if names else {}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"image": pa.array([b"none", b"none"]), "label": pa.array([0, 1])}
    table = pa.table(columns).replace_schema_metadata(about)
    pq.write_table(table, tmp_path / "t.parquet")
    assert undeclared(DataSpec(name=str(tmp_path / "t.parquet"))) == (names is None)
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "a.arrow"}]}))
    with pa.ipc.new_stream(str(saved / "a.arrow"), table.schema) as stream:
        stream.write_table(table)
    (saved / "dataset_info.json").write_text("{}")
    assert undeclared(DataSpec(name=str(saved))) == (names is None)


def test_archives_declare_none_and_named_data_sets_all_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), np.uint8))
    assert undeclared(DataSpec(name=str(tmp_path / "a.npz")))
    assert not undeclared(DataSpec(name="imagenet"))


def test_what_cannot_be_loaded_is_left_to_loading(tmp_path: Path) -> None:
    assert not undeclared(DataSpec(name=str(tmp_path)))
    with pytest.raises(MissingError):
        undeclared(DataSpec(name=str(tmp_path / "gone")))
