import io
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data.decode import decode
from spice_cli.data.links import bounds, inside, own_files
from spice_cli.data.load import load
from spice_cli.data.photographs import photographs
from spice_cli.errors import MissingError, SpiceError


def png(side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, "PNG")
    return out.getvalue()


def parquet(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": [{"bytes": png()}] * 3}), file)


def tar(file: Path) -> None:
    with tarfile.open(file, "w") as opened:
        for name in ("a.png", "b.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png())
            opened.addfile(info, io.BytesIO(png()))


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_shards_outside_of_the_directory_are_not_read(tmp_path: Path, kind: str) -> None:
    write = {"parquet": parquet, "tar": tar}[kind]
    write(tmp_path / f"secret.{kind}")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / f"a.{kind}").symlink_to(tmp_path / f"secret.{kind}")
    with pytest.raises(MissingError):
        load(DataSpec(name=str(folder)), lambda text: None)
    write(folder / f"b.{kind}")
    (folder / f"c.{kind}").symlink_to(f"b.{kind}")
    assert [file.name for file in own_files(folder, f".{kind}")] == [f"b.{kind}", f"c.{kind}"]


def test_a_data_set_saved_to_disk_holds_its_own_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = pa.table({"image": [{"bytes": png()}] * 3})
    with (
        pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, rows.schema) as s,
    ):
        s.write_table(rows)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "x.arrow").symlink_to(tmp_path / "x.arrow")
    with pytest.raises(MissingError, match="not there"):
        load(DataSpec(name=str(folder)), lambda text: None)


def test_a_snapshot_of_the_hub_links_to_its_blobs(tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--x" / "snapshots" / "4f1a" / "data"
    parquet(tmp_path / "datasets--x" / "blobs" / "77aa")
    snapshot.mkdir(parents=True)
    (snapshot / "train.parquet").symlink_to("../../../blobs/77aa")
    (snapshot / "other.parquet").symlink_to(tmp_path / "secret.parquet")
    parquet(tmp_path / "secret.parquet")
    assert bounds(snapshot) == tmp_path / "datasets--x"
    assert [file.name for file in own_files(snapshot, ".parquet")] == ["train.parquet"]
    assert load(DataSpec(name=str(snapshot)), lambda text: None).n == 3


def test_a_link_to_the_directory_itself_is_followed(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "a.parquet")
    (tmp_path / "link").symlink_to("data")
    assert own_files(tmp_path / "link", ".parquet") == [tmp_path / "link" / "a.parquet"]


def test_a_loop_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    assert not inside(tmp_path / "a", tmp_path)


def test_photographs_outside_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(png(100))
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "secret.png")
    assert not photographs(tmp_path / "data")


def test_nothing_waits_for_a_pipe_that_is_called_an_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(OSError, match="no regular file"):
        decode(tmp_path / "a.png", 8)
    (tmp_path / "b.png").symlink_to("/dev/zero")
    with pytest.raises(SpiceError):
        load(DataSpec(name=str(tmp_path)), lambda text: None)
