from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spice_cli import catalog
from spice_cli.config.data import DataSpec
from spice_cli.data.load import load, resolve
from spice_cli.errors import InvalidError, MissingError, UsageError


@pytest.mark.parametrize("name", catalog.DATASETS)
def test_catalogue_names_stay(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert resolve(name) == name
    assert resolve(f"./{name}") == str(tmp_path / name)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    (tmp_path / "x.NPZ").touch()
    for typed in ("photos", "photos/", "./photos", "~/photos", "photos/../photos"):
        assert resolve(typed) == str(tmp_path / "photos")
    assert resolve("x.NPZ") == str(tmp_path / "x.NPZ")


@pytest.mark.parametrize(("typed", "meant"), [("cifra10", "cifar10"), ("Digits", "digits")])
def test_a_typo_lists_the_names_and_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match="`digits`, `cifar10`, `cifar100-20`") as caught:
        resolve(typed)
    assert f"`{meant}`" in caught.value.hint


@pytest.mark.parametrize("typed", ["", "zzzz", "a" * 5000])
def test_a_name_like_no_other_has_no_guess(typed: str) -> None:
    with pytest.raises(UsageError, match="no data set") as caught:
        resolve(typed)
    assert caught.value.hint == ""


@pytest.mark.parametrize("typed", ["./none", "a/b", "~nobody-here/x", "x.npz", "train.parquet"])
def test_a_path_that_is_not_there_is_missing(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match="does not exist"):
        resolve(typed)


def test_a_file_of_another_kind_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    with pytest.raises(UsageError, match=r"x\.csv` is not data"):
        resolve(str(tmp_path / "x.csv"))


def test_a_path_that_is_no_text_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "i\udcff"
    folder.mkdir()
    with pytest.raises(InvalidError, match="is not UTF-8"):
        resolve(str(folder))


def test_data_that_are_gone_are_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        load(DataSpec(name=str(tmp_path / "gone")), print)


def test_a_test_file_is_for_parquet_only() -> None:
    with pytest.raises(UsageError, match="`--test` is limited"):
        load(DataSpec(name="digits", test="x.parquet"), print)


def test_images_too_small_for_any_network_are_enlarged(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 2, 2), np.uint8))
    spec = DataSpec(name=str(tmp_path / "x.npz"))
    assert load(spec, print).images.shape == (3, 3, 96, 96)


def test_two_train_images_are_needed_after_skipping(tmp_path: Path) -> None:
    for name in ("train/a.png", "train/b.png", "test/c.png", "test/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "train/a.png").write_bytes(b"")
    spec = DataSpec(name=str(tmp_path), protocol="split", skip_bad=True)
    with pytest.raises(InvalidError, match="has 1 images to train on"):
        load(spec, lambda _: None)
    (tmp_path / "train/a.png").write_bytes((tmp_path / "train/b.png").read_bytes())
    for name in "cd":
        (tmp_path / f"test/{name}.png").write_bytes(b"")
    with pytest.raises(UsageError, match="no test images"):
        load(spec, lambda _: None)
