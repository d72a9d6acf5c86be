import io
import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import unpacked
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, MissingError

FEATURES = {
    "image": {"_type": "Image"},
    "label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat"]},
}


def picture(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write(folder: Path, values: list[int], labels: list[int], file: str = "data-0.arrow") -> None:
    """Leave what `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": picture(v) if v else None, "path": "/etc/passwd"} for v in values]
    table = pa.table({"image": images, "label": labels}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    )
    with pa.ipc.new_stream(str(folder / file), table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": file}]}))


def read(path: Path, **options: object) -> Dataset:
    return load(DataSpec(name=str(path), **options), lambda _: None)  # type: ignore[arg-type]


def labels_of(data: Dataset) -> list[int]:
    labels = data.read_labels()
    assert labels is not None
    return labels.tolist()


def test_a_saved_data_set_is_read_from_its_bytes_alone(tmp_path: Path) -> None:
    write(tmp_path, [3, 0, 5, 7, 9], [0, 1, 2, 1, 0])
    data = read(tmp_path)
    assert data.images[:, 0, 0, 0].tolist() == [3, 5, 7, 9]
    assert data.bad == (f"{tmp_path.name}/data-0.arrow row 1",)
    assert (data.classes, data.names) == (3, ("ant", "bee", "cat"))
    assert labels_of(data) == [0, 2, 1, 0]


def test_saved_splits_are_train_and_test(tmp_path: Path) -> None:
    write(tmp_path / "train", [1, 2], [0, 1])
    write(tmp_path / "validation", [3], [2])
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    data = read(tmp_path, protocol="split")
    assert (data.n, data.train, data.test) == (3, 2, 1)
    assert labels_of(data) == [0, 1, 2]


def test_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a", [1, 2], [0, 1])
    write(tmp_path / "b", [3, 4], [0, 1])
    state = {"_data_files": [{"filename": "../b/data-0.arrow"}]}
    (tmp_path / "a/state.json").write_text(json.dumps(state))
    with pytest.raises(InvalidError, match="not the name of a file"):
        read(tmp_path / "a")


@pytest.mark.parametrize("file", ["data-0.arrow", "state.json"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 300, b"[1]"])
def test_what_is_corrupt_is_named(file: str, content: bytes, tmp_path: Path) -> None:
    write(tmp_path, [1, 2], [0, 1])
    (tmp_path / file).write_bytes(content)
    with pytest.raises((InvalidError, MissingError)) as caught:
        read(tmp_path)
    assert file in str(caught.value)


def test_a_stream_cut_short_ends_without_a_traceback(tmp_path: Path) -> None:
    write(tmp_path, list(range(1, 9)), [0] * 8)
    file = tmp_path / "data-0.arrow"
    whole = file.read_bytes()
    for end in range(8, len(whole), 97):
        file.write_bytes(whole[:end])
        try:
            data = read(tmp_path)
        except (InvalidError, MissingError):
            continue
        assert data.images[:, 0, 0, 0].tolist() == list(range(1, data.n + 1))


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    write(tmp_path, [1, 2], [0, 1])
    (tmp_path / "data-0.arrow").rename(tmp_path / "x.arrow")
    with pytest.raises(MissingError, match=r"data-0\.arrow"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", '{"_data_files": 5}'),
        ("state.json", '{"_data_files": {"a": 1}}'),
        ("state.json", "[" * 200_000),
        ("dataset_dict.json", '{"splits": 5}'),
        ("dataset_dict.json", "[" * 200_000),
    ],
)
def test_a_state_that_is_none_is_refused(file: str, content: str, tmp_path: Path) -> None:
    write(tmp_path, [1, 2], [0, 1])
    (tmp_path / file).write_text(content)
    with pytest.raises(InvalidError, match=file) as caught:
        read(tmp_path)
    assert "save_to_disk" in caught.value.hint


def test_a_state_may_name_its_files_alone(tmp_path: Path) -> None:
    write(tmp_path, [1, 2], [0, 1])
    (tmp_path / "state.json").write_text('{"_data_files": ["data-0.arrow"]}')
    assert read(tmp_path).n == 2
    (tmp_path / "state.json").write_text('{"_data_files": ["x"]}')
    with pytest.raises(MissingError, match="x` is not there"):
        read(tmp_path)


def test_a_batch_that_would_unpack_too_far_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"image": pa.array([picture(1) + bytes(2**20)] * 3, pa.binary())})
    packed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema, options=packed) as stream:
        stream.write_table(table)
    (tmp_path / "dataset_info.json").write_text("{}")
    assert read(tmp_path).n == 3
    monkeypatch.setattr(unpacked, "ROOMY", 2**21)
    with pytest.raises(InvalidError, match="a batch unpacks to 3 MiB"):
        read(tmp_path)


def test_a_file_that_is_mostly_holes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "ROOMY", 2**20)
    write(tmp_path, [1, 2], [0, 1])
    with (tmp_path / "data-0.arrow").open("rb+") as file:
        file.truncate(2**25)
    with pytest.raises(InvalidError, match="mostly holes"):
        read(tmp_path)


def test_offsets_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [1, 2], [0, 1])
    file = tmp_path / "data-0.arrow"
    content, size = file.read_bytes(), len(picture(1))
    both = size + len(picture(2))
    offsets = struct.pack("<iii", 0, size, both)
    assert offsets in content
    file.write_bytes(content.replace(offsets, struct.pack("<iii", 0, -(2**30), both)))
    with pytest.raises(InvalidError, match=r"data-0\.arrow"):
        read(tmp_path)


def test_no_rows_are_said_to_be_no_images(tmp_path: Path) -> None:
    write(tmp_path, [1], [0])
    file = str(tmp_path / "data-0.arrow")
    with pa.ipc.open_stream(file) as stream:
        schema = stream.schema
    with pa.ipc.new_stream(file, schema):
        pass
    with pytest.raises(MissingError, match="holds no images"):
        read(tmp_path, size=8)
