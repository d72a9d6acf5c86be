import hashlib
import pickle
import tarfile
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torchvision import datasets

from spice_cli.config.data import DataSpec
from spice_cli.data.load import load
from spice_cli.data.names import CIFAR100, CIFAR100_20
from spice_cli.data.plain_pickle import load_plain
from spice_cli.errors import InvalidError, MissingError


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def archive(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return buffer.getvalue()


def install(monkeypatch: pytest.MonkeyPatch, kind: str, key: str, counts: dict[str, int]) -> bytes:
    """Make torchvision's class expect a tiny archive of its own format, and return it."""
    base = getattr(datasets, kind)
    rng = np.random.default_rng(0)
    files, lists = {}, {}
    for part, count in counts.items():
        pixels = rng.integers(0, 256, (count, 3072), np.uint8)
        labels = [int(y) for y in rng.integers(0, 100 if key == "fine_labels" else 10, count)]
        files[part] = pickle.dumps({"data": pixels, key: labels})
        lists[part] = [[part, md5(files[part])]]
    files[base.meta["filename"]] = pickle.dumps({base.meta["key"]: ["a", "b"]})
    content = archive({f"{base.base_folder}/{name}": data for name, data in files.items()})

    class Tiny(base):
        train_list: ClassVar = lists["train"]
        test_list: ClassVar = lists["test"]
        meta: ClassVar = {**base.meta, "md5": md5(files[base.meta["filename"]])}
        tgz_md5 = md5(content)
        url = "http://127.0.0.1:9/" + base.filename

    monkeypatch.setattr(datasets, kind, Tiny)
    return content


def test_cifar10_is_read_out_of_an_archive_that_lies_in_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = install(monkeypatch, "CIFAR10", "labels", {"train": 5, "test": 3})
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    data = load(DataSpec(name="cifar10", root=str(tmp_path), protocol="split"), lambda _: None)
    parts = [datasets.CIFAR10(tmp_path, train=train) for train in (True, False)]
    expected = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    assert np.array_equal(data.images.numpy(), expected)
    assert data.images.is_contiguous()
    assert (data.n, data.train, data.classes) == (8, 5, 10)
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == parts[0].targets + parts[1].targets
    assert capsys.readouterr().out == ""


def test_cifar100_is_labelled_by_superclass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = install(monkeypatch, "CIFAR100", "fine_labels", {"train": 30, "test": 10})
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(content)
    monkeypatch.setenv("SPICE_DATA", str(tmp_path))
    data = load(DataSpec(name="cifar100-20"), lambda _: None)
    fine = [y for t in (True, False) for y in datasets.CIFAR100(tmp_path, train=t).targets]
    labels = data.read_labels()
    assert labels is not None
    assert all(f in CIFAR100_20[y][1] for f, y in zip(fine, labels.tolist(), strict=True))
    assert (data.n, data.train, data.classes) == (40, 40, 20)


def test_cifar100_is_labelled_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = install(monkeypatch, "CIFAR100", "fine_labels", {"train": 30, "test": 10})
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(content)
    data = load(DataSpec(name="cifar100", root=str(tmp_path)), lambda _: None)
    fine = [y for t in (True, False) for y in datasets.CIFAR100(tmp_path, train=t).targets]
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == fine
    assert (data.n, data.classes) == (40, 100)


def test_the_superclasses_partition_the_hundred_classes() -> None:
    fine = [label for _, labels in CIFAR100_20 for label in labels]
    assert len(CIFAR100_20) == 20
    assert sorted(fine) == list(range(100))
    assert (len(CIFAR100), list(CIFAR100)) == (100, sorted(CIFAR100))
    trees = [CIFAR100[label] for label in dict(CIFAR100_20)["trees"]]
    assert trees == ["maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"]


@pytest.mark.parametrize(("protocol", "train"), [("split", 3), ("whole", 8)])
def test_the_unlabelled_images_of_stl10_come_before_those_that_every_stage_sees(
    protocol: str, train: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tiny:
        def __init__(self, root: str, split: str, download: bool) -> None:
            n = {"train": 3, "test": 5, "unlabeled": 4}[split]
            fill = {"train": 1, "test": 2, "unlabeled": 9}[split]
            self.data = np.full((n, 3, 96, 96), fill, np.uint8).transpose(0, 1, 3, 2)
            self.labels = np.arange(n, dtype=np.uint8)

    monkeypatch.setattr(datasets, "STL10", Tiny)
    spec = DataSpec(name="stl10", root=str(tmp_path), protocol=protocol)  # type: ignore[arg-type]
    data = load(spec, lambda _: None)
    assert data.images[:, 0, 0, 0].tolist() == [1] * 3 + [2] * 5
    assert data.everything[:, 0, 0, 0].tolist() == [9] * 4 + [1] * 3 + [2] * 5
    assert data.images.is_contiguous()
    assert (data.n, data.unlabelled, data.train) == (8, 4, train)
    labels = data.read_labels()
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("broken", [False, True])
def test_offline_one_error_says_which_file_goes_where(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = install(monkeypatch, "CIFAR10", "labels", {"train": 5, "test": 3})
    if broken:
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(content[:-10])
    said: list[str] = []
    with pytest.raises(MissingError, match="`cifar10` is not in") as caught:
        load(DataSpec(name="cifar10", root=str(tmp_path)), said.append)
    assert "`cifar-10-python.tar.gz`" in caught.value.hint
    assert f"`{tmp_path}`" in caught.value.hint
    assert "downloading" in said[0]


def test_a_batch_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    plain = pickle.dumps
    monkeypatch.setattr(pickle, "dumps", lambda value: plain([value, Harm()]))
    content = install(monkeypatch, "CIFAR10", "labels", {"train": 5, "test": 3})
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    with pytest.raises(InvalidError, match="not what they should be"):
        load(DataSpec(name="cifar10", root=str(tmp_path)), lambda _: None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol_are_loaded(protocol: int) -> None:
    value = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], b"x": "y"}
    found = load_plain(BytesIO(pickle.dumps(value, protocol=protocol)))
    assert np.array_equal(found.pop("data"), value.pop("data"))  # type: ignore[arg-type]
    assert found == value
