import os
from pathlib import Path

import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import folder as room
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, MissingError, UsageError


def put(root: Path, *names: str, side: int = 8) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side, side), (len(name), 0, 0)).save(path)


def read(root: Path, **options: object) -> Dataset:
    return load(DataSpec(name=str(root), **options), lambda _: None)  # type: ignore[arg-type]


def labels(data: Dataset) -> list[int] | None:
    found = data.read_labels()
    return None if found is None else found.tolist()


def test_class_folders_are_labels_and_rows_are_sorted(tmp_path: Path) -> None:
    put(tmp_path, "dog/b.png", "cat/z.JPG", "cat/deep/er/a.Tiff", "dog/a.webp")
    data = read(tmp_path)
    assert data.paths == ("cat/deep/er/a.Tiff", "cat/z.JPG", "dog/a.webp", "dog/b.png")
    assert (data.classes, data.names, data.train) == (2, ("cat", "dog"), 4)
    assert labels(data) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "names", [("a.png", "b.png"), ("cat/a.png", "dog/b.png", "c.png"), ("all/a.png", "all/b.png")]
)
def test_flat_or_lone_folders_are_no_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(tmp_path, *names)
    data = read(tmp_path)
    assert (data.n, data.classes, data.names, labels(data)) == (len(names), None, None, None)


@pytest.mark.parametrize("test", ["test", "val"])
def test_train_and_test_directories_are_the_splits(tmp_path: Path, test: str) -> None:
    put(tmp_path, "train/cat/b.png", "train/dog/a.png", f"{test}/ant/c.png", "outside.png")
    split, whole = read(tmp_path, protocol="split"), read(tmp_path)
    assert split.paths == whole.paths == ("train/cat/b.png", "train/dog/a.png", f"{test}/ant/c.png")
    assert (split.train, whole.train) == (2, 3)
    assert split.names == ("ant", "cat", "dog")
    assert labels(split) == [1, 2, 0]


def test_an_unlabelled_split_has_labels_of_minus_one(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/a.png", "train/dog/b.png", "test/c.png", "test/d.png")
    assert labels(read(tmp_path)) == [0, 1, -1, -1]


def test_hidden_files_and_links_that_lead_outside_are_skipped(tmp_path: Path) -> None:
    root = tmp_path / "data"
    put(root, "a.png", "b.png", ".c.png", ".hidden/d.png")
    put(tmp_path, "secret.png", "elsewhere/e.png")
    (root / "f.png").symlink_to(tmp_path / "secret.png")
    (root / "g").symlink_to(tmp_path / "elsewhere")
    (root / "h").symlink_to(root)
    (root / "i.png").symlink_to(root / "a.png")
    (root / "notes.txt").write_text("not an image")
    (root / "j.png").symlink_to(root / "j.png")
    (root / "k.png").symlink_to(root / "gone.png")
    os.mkfifo(root / "l.png")
    said: list[str] = []
    assert load(DataSpec(name=str(root)), said.append).paths == ("a.png", "b.png", "i.png")
    assert "2 hidden; 5 links to directories or out of it; 2 that are no images" in said[0]
    assert ".txt (1)" in said[0]


def test_skipping_keeps_paths_labels_and_images_aligned(tmp_path: Path) -> None:
    put(tmp_path, "cat/aaaa.png", "cat/b.png", "dog/ccc.png", "dog/dd.png", "eel/broken.png")
    for name in ("cat/b.png", "eel/broken.png"):
        (tmp_path / name).write_bytes(b"no image")
    said: list[str] = []
    data = load(DataSpec(name=str(tmp_path)), said.append)
    assert "2 of 5 images that cannot be read: `cat/b.png`, `eel/broken.png`" in said[-1]
    assert data.bad == ("cat/b.png", "eel/broken.png")
    assert data.paths == ("cat/aaaa.png", "dog/ccc.png", "dog/dd.png")
    assert data.images[:, 0, 0, 0].tolist() == [len(path) for path in data.paths]
    assert labels(data) == [0, 1, 1]
    assert data.classes == 3


def test_labels_are_not_made_before_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "cat/a.png", "dog/b.png")
    calls: list[str] = []
    monkeypatch.setattr(room, "as_labels", lambda *_: calls.append("read"))
    data = read(tmp_path)
    assert calls == []
    data.read_labels()
    assert calls == ["read"]


def test_a_directory_without_images_is_missing_them(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no images"):
        read(tmp_path)
    put(tmp_path, "train/a.png")
    (tmp_path / "test").mkdir()
    with pytest.raises(MissingError, match="test` holds no images"):
        read(tmp_path)


def test_parquet_files_further_down_are_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").touch()
    with pytest.raises(MissingError) as caught:
        read(tmp_path)
    assert str(tmp_path / "data") in caught.value.hint


def test_one_image_is_too_few(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    with pytest.raises(InvalidError, match="not at least 2"):
        read(tmp_path)


def test_split_needs_test_images(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    with pytest.raises(UsageError, match="no test images") as caught:
        read(tmp_path, protocol="split")
    assert "--protocol whole" in caught.value.hint


def test_splits_of_different_sizes_are_refused_unless_resized(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "train/b.png")
    put(tmp_path, "test/c.png", side=9)
    with pytest.raises(InvalidError, match="8 x 8 pixels and test images 9 x 9"):
        read(tmp_path)
    assert read(tmp_path, size=6).images.shape == (3, 3, 6, 6)


def test_a_name_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b\udcff.png")
    paths = read(tmp_path).paths
    assert paths == ("a.png", "b\\udcff.png")
