from pathlib import Path

from spice_cli.config.data import DataSpec
from spice_cli.data.origin_files import origin_files


def test_digits_come_from_a_file_that_is_there() -> None:
    assert [path.is_file() for path in origin_files(DataSpec(name="digits")) or []] == [True]


def test_a_directory_is_all_that_lies_below_it(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x.png").touch()
    (tmp_path / "y.png").symlink_to(tmp_path / "a/b/x.png")
    found = origin_files(DataSpec(name=str(tmp_path)))
    assert found == sorted([tmp_path, *tmp_path.rglob("*")])
    assert origin_files(DataSpec(name=str(tmp_path / "y.png"))) == [tmp_path / "y.png"]


def test_links_to_directories_make_it_unknown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert origin_files(DataSpec(name=str(tmp_path))) is None


def test_named_data_sets_lie_below_their_root(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    spec = DataSpec(name="cifar10", root=str(tmp_path))
    assert origin_files(spec) == [tmp_path, tmp_path / "cifar-10-batches-py"]
