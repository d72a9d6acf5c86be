import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spice_cli.data import mapped
from spice_cli.data.mapped import Mapped, create, remove

PAGES = 3 * 65536


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mapped, "SHARD", 65536)
    return tmp_path / "shards"


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, PAGES, PAGES + 5])
def test_what_is_written_across_shards_is_read_again(folder: Path, size: int) -> None:
    random = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    create(folder, size).array()[:] = random
    assert (Mapped(folder, size, write=False).array() == random).all()
    files = sorted(folder.iterdir())
    assert len(files) == -(-size // 65536)
    assert all(file.stat().st_size == 65536 for file in files[:-1])
    assert b"".join(file.read_bytes() for file in files) == random.tobytes()


def test_an_array_outlives_what_mapped_it(folder: Path) -> None:
    rows = create(folder, PAGES).array().view(np.float32).reshape(3, -1)
    rows[1] = 7
    assert rows[1].sum() == 7 * 65536 / 4
    assert rows[:2].sum() == 7 * 65536 / 4


def test_arrays_of_several_mappings_see_the_same_bytes(folder: Path) -> None:
    one, other = create(folder, PAGES).array(), Mapped(folder, PAGES, write=False).array()
    one[65536] = 9
    assert other[65536] == 9
    with pytest.raises(ValueError, match="read-only"):
        other[0] = 1


def test_memory_is_given_back(folder: Path) -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(str(folder))

    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    array = create(folder, PAGES).array()
    part = array[5:]
    del array
    assert mappings() == 3
    del part
    assert mappings() == 0


@pytest.mark.parametrize("change", ["gone", "short", "more", "link", "size"])
def test_other_shards_than_expected_are_refused(folder: Path, tmp_path: Path, change: str) -> None:
    create(folder, PAGES)
    second = folder / "00001"
    if change == "gone":
        second.unlink()
    if change == "short":
        os.truncate(second, 100)
    if change == "more":
        (folder / "00003").write_bytes(b"x")
    if change == "link":
        second.rename(tmp_path / "elsewhere")
        second.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((ValueError, OSError)):
        Mapped(folder, PAGES - (change == "size"), write=False)


@pytest.mark.parametrize(
    ("start", "end", "written"),
    [(0, None, "012"), (0, 1, "0"), (65535, 65537, "01"), (65536, 131072, "1"), (7, 7, "0")],
)
def test_only_shards_that_were_written_are_flushed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, start: int, end: int | None, written: str
) -> None:
    shards, flushed = create(folder, PAGES), []
    here = {(folder / name).stat().st_ino: name[-1] for name in ("00000", "00001", "00002")}
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(here[os.fstat(number).st_ino]))
    shards.flush(start, end)
    assert "".join(flushed) == written


def test_more_shards_than_files_may_be_open_at_once(folder: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    size = 200 * 65536
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
        create(folder, size).array()[-1] = 5
        assert Mapped(folder, size, write=False).array()[-1] == 5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_where_there_is_no_room_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int, start: int, length: int) -> None:
        os.ftruncate(number, 100)
        if len(os.listdir(folder)) == 2:  # noqa: PTH208
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space"):
        create(folder, PAGES)
    assert not folder.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENODEV, "No such device"), KeyboardInterrupt()])
def test_where_files_cannot_be_mapped_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(mapped, "_side_by_side", refused)
    with pytest.raises(type(error)):
        create(folder, PAGES)
    assert not folder.exists()


@pytest.mark.parametrize("name", [".DS_Store", "._00000", "Thumbs.db", ".nfs000000000a"])
def test_a_file_that_is_no_shard_is_passed_over(folder: Path, name: str) -> None:
    create(folder, PAGES).array()[7] = 7
    (folder / name).write_bytes(b"x")
    assert Mapped(folder, PAGES, write=False).array()[7] == 7


def test_nothing_cannot_be_mapped(folder: Path) -> None:
    with pytest.raises(ValueError, match="nothing"):
        create(folder, 0)
    assert not folder.exists()


def test_removing_a_link_leaves_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    create(folder, 10)
    link = tmp_path / "link"
    link.symlink_to(folder)
    remove(link)
    assert not link.is_symlink()
    assert (folder / "00000").exists()
    remove(folder)
    remove(folder)
    assert not folder.exists()


def test_one_file_does_where_files_cannot_lie_side_by_side(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_libc", lambda: None)
    create(folder, PAGES).array()[-1] = 3
    assert [file.name for file in folder.iterdir()] == ["00000"]
    assert Mapped(folder, PAGES, write=False).array()[-1] == 3


LIMITED = """
import resource, sys
from pathlib import Path
from spice_cli.data import mapped
mapped.SHARD = 2**20
size = 2**28
resource.setrlimit(resource.RLIMIT_DATA, (2**27 + 2**26, resource.RLIM_INFINITY))
array = mapped.create(Path(sys.argv[1]), size).array()
for start in range(0, size, 2**20):
    array[start] = 1
assert array[::2**20].sum() == 256
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of others are others")
def test_shards_take_no_memory_of_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "shards")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
