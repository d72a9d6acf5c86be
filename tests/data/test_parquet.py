import json
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import parquet as room
from spice_cli.data import unpacked
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, MissingError, UsageError


def png(value: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    path: Path,
    values: list[int | None],
    labels: list[int | None] | None,
    names: list[str] | None = None,
) -> None:
    encoded = [None if v is None else {"bytes": png(v) if v else b"bad"} for v in values]
    columns = {"image": pa.array(encoded, pa.struct([("bytes", pa.binary())]))}
    if labels is not None:
        columns["label"] = pa.array(labels, pa.int64())
    table = pa.table(columns)
    if names:
        features = {"label": {"_type": "ClassLabel", "names": names}}
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    pq.write_table(table, path, row_group_size=3)


def read(path: Path, **options: object) -> Dataset:
    return load(DataSpec(name=str(path), **options), lambda _: None)  # type: ignore[arg-type]


def labels(data: Dataset) -> list[int] | None:
    found = data.read_labels()
    return None if found is None else found.tolist()


def test_shards_are_read_in_order_train_before_test(tmp_path: Path) -> None:
    write(tmp_path / "train-00001-of-00002.parquet", [3, 4, 5, 6], [0, 1, 1, 0], ["cat", "dog"])
    write(tmp_path / "train-00000-of-00002.parquet", [1, 2], [1, None], ["cat", "dog"])
    write(tmp_path / "test-00000-of-00001.parquet", [7, 8], [0, 0], ["cat", "dog"])
    data = read(tmp_path, protocol="split")
    assert data.images[:, 2, 4, 4].tolist() == list(range(1, 9))
    assert data.images.is_contiguous()
    assert (data.train, data.classes, data.names) == (6, 2, ("cat", "dog"))
    assert labels(data) == [1, -1, 0, 1, 1, 0, 0, 0]
    assert read(tmp_path).train == 8


def test_the_test_file_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [1, 2], [0, 1])
    write(tmp_path / "test-a.parquet", [3], [1])
    write(tmp_path / "test-b.parquet", [4], None)
    assert read(tmp_path).n == 2
    data = read(tmp_path, test="test-b.parquet", protocol="split")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2, 4]
    assert labels(data) == [0, 1, -1]
    with pytest.raises(UsageError, match="no test images"):
        read(tmp_path, protocol="split")


def test_skipped_rows_keep_labels_aligned(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1, 0, 3, None, 5], [10, 11, 12, 13, 14])
    data = read(tmp_path / "a.parquet")
    assert data.bad == ("a.parquet row 1", "a.parquet row 3")
    assert data.images[:, 0, 0, 0].tolist() == [1, 3, 5]
    assert data.bad == ("a.parquet row 1", "a.parquet row 3")
    assert labels(data) == [10, 12, 14]


def test_without_a_label_column_there_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1, 2], None)
    assert labels(read(tmp_path / "a.parquet")) is None


def poison(path: Path, column: str) -> None:
    """Overwrite every stored byte of a column, so that nobody can have read it."""
    metadata = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            if chunk.path_in_schema == column:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                size = chunk.total_compressed_size
                content[start : start + size] = b"\xff" * size
    path.write_bytes(content)


def test_labels_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, [1, 2, 3, 4], [0, 1, 0, 1], ["cat", "dog"])
    poison(path, "label")
    data = read(path)
    assert (data.n, data.classes) == (4, 2)
    with pytest.raises(InvalidError, match="not a readable Parquet file"):
        data.read_labels()


def test_a_corrupt_image_column_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, [1, 2, 3, 4], None)
    poison(path, "image.bytes")
    with pytest.raises(InvalidError, match=r"a\.parquet` is not a readable Parquet file"):
        read(path, size=8)


@pytest.mark.parametrize("keep", [0, 3, -20])
def test_a_truncated_file_is_one_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.parquet"
    write(path, [1, 2], [0, 1])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidError, match=r"a\.parquet` is not a readable Parquet file"):
        read(path)


def test_any_flipped_byte_is_read_or_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, [1, 2, 3, 4], [0, 1, 0, 1], ["cat", "dog"])
    content, refused = path.read_bytes(), 0
    for position in range(5, len(content), 11):
        broken = bytearray(content)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        try:
            data = read(path, skip_bad=True)
            found = data.read_labels()
            assert found is None or len(found) == data.n
        except InvalidError:
            refused += 1
    assert refused > 0


def test_files_that_declare_different_classes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1, 2], [0, 1], ["cat", "dog"])
    write(tmp_path / "b.parquet", [1, 2], [0, 1], ["dog", "cat"])
    with pytest.raises(InvalidError, match="declare different classes"):
        read(tmp_path)


def test_batches_do_not_change_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "BATCH", 2)
    write(tmp_path / "a.parquet", list(range(1, 12)), None)
    data = read(tmp_path / "a.parquet")
    assert data.images[:, 0, 0, 0].tolist() == list(range(1, 12))


def bomb(path: Path, size: int, rows: int, **options: object) -> None:
    table = pa.table({"image": pa.array([png(1) + bytes(size)] * rows, pa.binary())})
    pq.write_table(table, path, compression="zstd", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"dictionary_pagesize_limit": 2**30},
        {"use_dictionary": False, "data_page_size": 1, "write_batch_size": 1},
        {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    ],
)
def test_few_rows_are_read_at_once_where_a_few_bytes_stand_for_many(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ROOMY", 2**20)
    path, sizes = tmp_path / "a.parquet", []
    bomb(path, 2**18, 60, **options)
    with pq.ParquetFile(path) as reader:
        for batch in room._batches(path, reader, "image"):
            sizes.append(batch.nbytes)
    assert path.stat().st_size < 2**16
    assert sum(sizes) > 60 * 2**18
    assert max(sizes) <= 2**20
    assert read(path).images[:, 0, 0, 0].tolist() == [1] * 60


def test_a_page_that_would_unpack_too_far_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(tmp_path / "a.parquet", 2**20, 2)
    monkeypatch.setattr(unpacked, "ROOMY", 2**19)
    with pytest.raises(InvalidError, match="a page unpacks to 1 MiB") as caught:
        read(tmp_path / "a.parquet", size=8)
    assert caught.value.hint


def test_a_cell_over_the_largest_file_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "LARGEST", 4_000)
    images = [{"bytes": png(1)}, {"bytes": png(2) + bytes(4_000)}, {"bytes": png(3)}]
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").bad == ("a.parquet row 1",)


def test_labels_beyond_63_bits_are_refused(tmp_path: Path) -> None:
    images, values = [{"bytes": png(1)}] * 2, pa.array([0, 2**63], pa.uint64())
    pq.write_table(pa.table({"image": images, "label": values}), tmp_path / "a.parquet")
    with pytest.raises(InvalidError, match="uint64, not whole numbers below") as caught:
        read(tmp_path / "a.parquet").read_labels()
    assert "int64" in caught.value.hint


def test_no_rows_are_said_to_be_no_images(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [], [])
    with pytest.raises(MissingError, match="holds no images"):
        read(tmp_path / "a.parquet", size=8)
