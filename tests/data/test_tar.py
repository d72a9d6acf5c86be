import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load, resolve
from spice_cli.errors import InvalidError, MissingError, UsageError


def picture(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write(file: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(file, mode) as opened:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file


def read(path: Path, **options: object) -> Dataset:
    return load(DataSpec(name=str(path), **options), lambda _: None)  # type: ignore[arg-type]


def test_images_are_members_and_labels_lie_beside_them(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.tar",
        {
            "x/000.png": picture(1),
            "x/000.cls": b"7\n",
            "x/000.json": b"{}",
            "x/001.cls": b"-",
            "x/001.png": picture(2),
            "002.seg.png": picture(3),
            "002.cls": b"4",
            "003.jpg": b"broken",
        },
    )
    data = read(file)
    assert data.paths == ("x/000.png", "x/001.png", "002.seg.png")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert data.bad == ("003.jpg",)
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == [7, -1, 4]
    assert resolve(str(file)) == str(file)


def test_members_that_are_no_plain_files_or_lead_out_are_left_out(tmp_path: Path) -> None:
    good = {"./a.png": picture(1), "b.png": picture(2)}
    file = write(tmp_path / "a.tar", {**good, "../c.png": picture(3), "/d.png": picture(4)})
    with tarfile.open(file, "a") as opened:
        for name, kind in (("e.png", tarfile.SYMTYPE), ("f.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret.png")
            opened.addfile(info)
    said: list[str] = []
    data = load(DataSpec(name=str(file)), said.append)
    assert data.paths == ("./a.png", "b.png")
    assert "4 that are hidden, links, or named out of it" in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar"]


def test_tars_of_a_directory_are_splits_by_their_names(tmp_path: Path) -> None:
    for name, values in (("train-0", (1, 2)), ("train-1", (3,)), ("test-0", (4,))):
        write(tmp_path / f"{name}.tar", {f"{value}.png": picture(value) for value in values})
    data = read(tmp_path, protocol="split")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert (data.train, data.test) == (3, 1)
    assert read(tmp_path).test == 1
    assert data.paths is not None
    assert data.paths[2] == "train-1.tar:3.png"


def test_what_is_no_plain_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x01" * 2000)
    with pytest.raises(InvalidError, match="not a readable tar"):
        read(tmp_path / "a.tar")
    with pytest.raises(InvalidError, match="not a readable tar"):
        read(write(tmp_path / "b.tar", {"a.png": picture(1)}, "w:gz"))
    with pytest.raises(UsageError, match="is not data"):
        resolve(str(write(tmp_path / "c.tar.gz", {"a.png": picture(1)}, "w:gz")))
    with pytest.raises(MissingError, match="holds no images"):
        read(write(tmp_path / "d.tar", {"a.txt": b"x"}))


def test_a_tar_cut_short_is_an_error_or_lists_what_is_gone(tmp_path: Path) -> None:
    members = {f"{value}.png": picture(value) for value in range(5)}
    whole = write(tmp_path / "a.tar", members).read_bytes()
    for end in range(512, len(whole), 700):
        (tmp_path / "b.tar").write_bytes(whole[:end])
        try:
            data = read(tmp_path / "b.tar")
        except (InvalidError, MissingError):
            continue
        assert data.images[:, 0, 0, 0].tolist() == list(range(data.n))
