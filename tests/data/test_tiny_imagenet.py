from pathlib import Path

import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import tiny_imagenet
from spice_cli.data.dataset import Dataset
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, MissingError

WNIDS = ("n01443537", "n01629819", "n02123045")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny-ImageNet's layout, with three classes."""
    monkeypatch.setenv("SPICE_DATA", str(tmp_path))
    monkeypatch.setattr(tiny_imagenet, "CLASSES", len(WNIDS))
    root = tmp_path / "tiny-imagenet-200"
    for label, name in enumerate(WNIDS):
        put(root / f"train/{name}/images/{name}_0.JPEG", 40 * label)
        put(root / f"train/{name}/images/{name}_1.JPEG", 40 * label + 10)
        (root / f"train/{name}/{name}_boxes.txt").write_text("")
    for number in range(4):
        put(root / f"val/images/val_{number}.JPEG", 200 + 10 * number)
    put(root / "test/images/test_0.JPEG", 0)
    table = [f"val_{n}.JPEG\t{WNIDS[n % 3]}\t0\t0\t62\t62" for n in range(4)]
    (root / "val/val_annotations.txt").write_text("\n".join(table) + "\n")
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    return root


def put(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (value, 0, 0)).save(file, quality=100)


def read(**options: object) -> Dataset:
    return load(DataSpec(name="tiny-imagenet", **options), lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("protocol", "train"), [("whole", 10), ("split", 6)])
def test_train_images_come_first_then_validation_images(
    protocol: str, train: int, root: Path
) -> None:
    data = read(protocol=protocol)
    shown = [round(value / 10) * 10 for value in data.images[:, 0, 5, 5].tolist()]
    assert shown == [0, 10, 40, 50, 80, 90, 200, 210, 220, 230]
    assert (data.n, data.train, data.classes, data.images.shape[-1]) == (10, train, 3, 64)
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2, 0]


def test_the_table_of_classes_is_read_for_labels_alone(root: Path) -> None:
    table = root / "val/val_annotations.txt"
    text = table.read_text()
    table.unlink()
    data = read()
    with pytest.raises(InvalidError, match=r"val_annotations\.txt` cannot be read"):
        data.read_labels()
    table.write_text(text.splitlines()[0])
    labels = data.read_labels()
    assert labels is not None
    assert labels[6:].tolist() == [0, -1, -1, -1]


def test_the_root_may_be_the_directory_itself(root: Path, tmp_path: Path) -> None:
    assert read(root=str(root)).n == 10
    assert read(root=str(tmp_path)).n == 10


def test_an_archive_that_is_not_there_or_not_whole_is_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="`tiny-imagenet` is not in") as caught:
        read(root=str(tmp_path / "none"))
    assert "tiny-imagenet-200.zip" in caught.value.hint
    for file in (root / "train" / WNIDS[1] / "images").iterdir():
        file.unlink()
    with pytest.raises(MissingError, match=f"1 of the 3 classes of .*: `{WNIDS[1]}`"):
        read()
    (root / "train" / WNIDS[1]).rename(root / "elsewhere")
    with pytest.raises(InvalidError, match="has 2 class folders, not 3"):
        read()
