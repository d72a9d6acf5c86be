from pathlib import Path

import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import imagenet
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.data.wnids import (
    IMAGENET_10,
    IMAGENET_50,
    IMAGENET_100,
    IMAGENET_200,
    IMAGENET_DOGS,
)
from spice_cli.errors import InvalidError, MissingError


def put(folder: Path, *values: int) -> None:
    folder.mkdir(parents=True)
    for value in values:
        Image.new("RGB", (12, 10), (value, 0, 0)).save(folder / f"{value}.JPEG", quality=100)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images of each class of ImageNet-10, one of them for validation, and another class."""
    monkeypatch.setenv("SPICE_DATA", str(tmp_path / "home"))
    for label, name in enumerate(IMAGENET_10):
        put(tmp_path / "in/train" / name, 20 * label, 20 * label + 5)
        put(tmp_path / "in/val" / name, 20 * label + 10)
    put(tmp_path / "in/train/n00000001", 255)
    return tmp_path / "in"


def read(name: str, root: Path, said: list[str] | None = None, **options: object) -> Dataset:
    say = (said if said is not None else []).append
    return load(DataSpec(name=name, root=str(root), size=8, **options), say)  # type: ignore[arg-type]


def pixels(data: Dataset) -> list[int]:
    return [round(value / 5) * 5 for value in data.images[:, 0, 4, 4].tolist()]


def test_whole_is_the_training_images_of_the_listed_classes(root: Path) -> None:
    said: list[str] = []
    data = read("imagenet10", root, said)
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert pixels(data) == [20 * label + extra for label in range(10) for extra in (0, 5)]
    assert (data.n, data.train, data.classes, data.names) == (20, 20, 10, IMAGENET_10)
    assert data.paths is not None
    assert data.paths[0] == f"train/{IMAGENET_10[0]}/0.JPEG"
    assert any("published numbers are of 13,000" in line for line in said)


def test_split_tests_on_the_validation_images(root: Path) -> None:
    data = read("imagenet10", root, protocol="split")
    labels = data.read_labels()
    assert labels is not None
    assert (data.n, data.train) == (30, 20)
    assert labels[20:].tolist() == list(range(10))
    assert pixels(data)[20:] == [20 * label + 10 for label in range(10)]


def test_whole_of_scans_subsets_takes_validation_images_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet, "IMAGENET_50", IMAGENET_10)
    data = read("imagenet50", root)
    assert (data.n, data.train, data.classes) == (30, 30, 10)


def test_all_of_imagenet_is_every_class_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidError, match="has 11 class folders, and ImageNet has 1,000"):
        read("imagenet", root)
    monkeypatch.setattr(imagenet, "CLASSES", 11)
    put(root / "val/n00000001", 250)
    data = read("imagenet", root, protocol="split")
    assert (data.n, data.train, data.classes) == (32, 21, 11)
    assert data.names == ("n00000001", *IMAGENET_10)


@pytest.mark.parametrize("below", ["imagenet", "ILSVRC/Data/CLS-LOC"])
def test_the_directory_may_lie_where_it_usually_does(
    below: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / below
    home.parent.mkdir(parents=True)
    root.rename(home)
    data = load(DataSpec(name="imagenet10", size=8), lambda _: None)
    assert data.n == 20


def test_no_directory_is_missing_and_root_is_the_hint(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"class folders as `.*train/n01440764`") as caught:
        read("imagenet-dogs", tmp_path / "none")
    assert "--root PATH" in caught.value.hint


def test_missing_classes_are_counted_and_some_are_named(root: Path) -> None:
    with pytest.raises(MissingError, match="no images of 14 of the 15 classes") as caught:
        read("imagenet-dogs", root)
    assert f"`{IMAGENET_DOGS[1]}`, " in str(caught.value)
    assert f"`{IMAGENET_DOGS[6]}`" not in str(caught.value)
    assert IMAGENET_DOGS[1] in caught.value.hint


def test_validation_images_in_one_folder_are_asked_to_be_sorted(root: Path) -> None:
    for folder in (root / "val").iterdir():
        folder.rename(root / f"x{folder.name}")
    assert read("imagenet10", root).n == 20
    with pytest.raises(MissingError, match="holds no class folders") as caught:
        read("imagenet10", root, protocol="split")
    assert "sort the validation images" in caught.value.hint


@pytest.mark.parametrize(
    ("classes", "count"),
    [
        (IMAGENET_10, 10),
        (IMAGENET_DOGS, 15),
        (IMAGENET_50, 50),
        (IMAGENET_100, 100),
        (IMAGENET_200, 200),
    ],
)
def test_the_lists_are_sorted_and_of_the_size_in_their_name(
    classes: tuple[str, ...], count: int
) -> None:
    assert len(set(classes)) == len(classes) == count
    assert list(classes) == sorted(classes)
    assert all(imagenet.WNID.fullmatch(name) for name in classes)


def test_scans_subsets_are_nested() -> None:
    assert set(IMAGENET_50) < set(IMAGENET_100) < set(IMAGENET_200)
