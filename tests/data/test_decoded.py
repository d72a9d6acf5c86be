import errno
import json
import mmap
import os
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import decoded, encoded, journal, mapped
from spice_cli.data.decode import decode
from spice_cli.data.decoded import decode_once
from spice_cli.errors import InvalidError

SPEC = DataSpec(name="x", size=8)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    monkeypatch.setenv("SPICE_DATA", str(tmp_path / "home"))
    found = []
    for value in range(5):
        file = tmp_path / f"{value}.png"
        Image.new("RGB", (8, 8), (value, 0, 0)).save(file)
        found.append((file.name, file))
    return found


def stored(tmp_path: Path) -> list[Path]:
    return sorted(each for each in (tmp_path / "home/decoded").glob("*") if not each.suffix)


def test_images_are_decoded_once(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decode_once(files, 3, SPEC, print)
    (file,) = stored(tmp_path)
    monkeypatch.setattr(decoded, "decode_all", lambda *_: pytest.fail("decoded again"))
    second = decode_once(files, 3, SPEC, print)
    assert first.images[:, 0, 0, 0].tolist() == list(range(5))
    assert second.images.equal(first.images)
    assert second.kept.equal(first.kept)
    assert (second.train, second.bad) == (first.train, first.bad) == (3, ())
    assert not list(file.parent.glob("*.unfinished"))
    assert [shard.name for shard in file.iterdir()] == ["00000"]


@pytest.mark.parametrize("change", ["size", "touched", "order", "truncated"])
def test_other_images_are_decoded_anew(
    change: str, files: list[tuple[str, Path]], tmp_path: Path
) -> None:
    decode_once(files, 3, SPEC, print)
    (file,) = stored(tmp_path)
    spec = DataSpec(name="x", size=12) if change == "size" else SPEC
    if change == "touched":
        Image.new("RGB", (8, 8), (77, 0, 0)).save(files[0][1])
        os.utime(files[0][1], ns=(1, 1))
    if change == "order":
        files = files[::-1]
    if change == "truncated":
        os.truncate(file / "00000", 200)
    again = decode_once(files, 3, spec, print)
    first = {"touched": 77, "order": 4}.get(change, 0)
    assert (int(again.images[0, 0, 0, 0]), again.images.shape[-1]) == (first, spec.size)
    assert len(stored(tmp_path)) == (1 if change == "truncated" else 2)


def test_what_cannot_be_read_is_remembered_too(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files[1][1].write_bytes(b"no image")
    first = decode_once(files, 3, SPEC, print)
    monkeypatch.setattr(decoded, "decode_all", lambda *_: pytest.fail("decoded again"))
    said: list[str] = []
    for found in (first, decode_once(files, 3, SPEC, said.append)):
        assert found.images[:, 0, 0, 0].tolist() == found.kept.tolist() == [0, 2, 3, 4]
        assert (found.train, found.bad) == (2, ("1.png",))
    assert "1 of 5 images that cannot be read: `1.png`" in said[-1]


def test_more_than_half_unreadable_is_not_kept(
    files: list[tuple[str, Path]], tmp_path: Path
) -> None:
    for _, file in files[1:4]:
        file.write_bytes(b"no image")
    with pytest.raises(InvalidError, match="3 of 5 images cannot be read"):
        decode_once(files, 3, SPEC, print)
    assert not stored(tmp_path)
    assert not list((tmp_path / "home/decoded").glob("*.unfinished"))
    skip = DataSpec(name="x", size=8, skip_bad=True)
    assert decode_once(files, 3, skip, print).kept.tolist() == [0, 4]
    with pytest.raises(InvalidError, match="3 of 5 images cannot be read"):
        decode_once(files, 3, SPEC, print)


def test_any_unreadable_image_of_a_named_data_set_is_an_error(
    files: list[tuple[str, Path]],
) -> None:
    files[1][1].write_bytes(b"no image")
    with pytest.raises(InvalidError, match="1 of 5 images cannot be read"):
        decode_once(files, 3, DataSpec(name="imagenet10", size=8), print)


def test_copies_elsewhere_with_the_same_times_are_other_images(
    files: list[tuple[str, Path]], tmp_path: Path
) -> None:
    decode_once(files, 3, SPEC, print)
    (tmp_path / "b").mkdir()
    others = [(name, tmp_path / "b" / name) for name, _ in files]
    for (_, ours), (_, theirs) in zip(files, others, strict=True):
        Image.new("RGB", (8, 8), (0, 9, 0)).save(theirs)
        os.utime(theirs, ns=(ours.stat().st_atime_ns, ours.stat().st_mtime_ns))
    assert int(decode_once(others, 3, SPEC, print).images[0, 1, 0, 0]) == 9


def test_a_full_disk_is_found_before_decoding(
    files: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "SPARE", 2**60)
    assert len(decode_once(files, 3, SPEC, print).images) == 5
    monkeypatch.setattr(decoded, "SMALL", 0)
    with pytest.raises(InvalidError, match="GiB left") as caught:
        decode_once(files, 3, SPEC, print)
    assert "SPICE_DATA" in caught.value.hint


@pytest.mark.parametrize("small", [True, False])
def test_where_files_cannot_be_mapped_few_images_are_decoded_into_memory(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mapped, "_side_by_side", refused)
    if small:
        assert len(decode_once(files, 3, SPEC, print).images) == 5
    else:
        monkeypatch.setattr(decoded, "SMALL", 0)
        with pytest.raises(InvalidError, match="cannot hold them: no such device"):
            decode_once(files, 3, SPEC, print)
    assert [each.suffix for each in (tmp_path / "home/decoded").iterdir()] == [".lock"]


def test_a_home_that_cannot_be_written_is_named_and_done_without(
    files: list[tuple[str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file")
    said: list[str] = []
    assert len(decode_once(files, 3, SPEC, said.append).images) == 5
    assert "cannot be kept" in said[0]
    assert "SPICE_DATA" in said[0]


def test_the_mapped_pixels_are_those_of_the_shards(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "SHARD", mmap.PAGESIZE)
    spec = DataSpec(name="x", size=32)
    first = decode_once(files, 3, spec, print)
    (folder,) = stored(tmp_path)
    shards = sorted(folder.iterdir())
    assert len(shards) == -(-5 * 3 * 32 * 32 // mmap.PAGESIZE)
    assert all(shard.stat().st_size == mmap.PAGESIZE for shard in shards[:-1])
    again = decode_once(files, 3, spec, print).images.numpy().copy()
    assert b"".join(shard.read_bytes() for shard in shards) == again.tobytes()
    assert np.array_equal(first.images.numpy(), again)
    pixels = shards[1].read_bytes()
    shards[1].write_bytes(bytes(len(pixels)))
    assert np.array_equal(decode_once(files, 3, spec, print).images.numpy(), again)


class Killed(BaseException):
    """As by a signal: nothing catches it."""


def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let decoding end after `count` images; return the list of those that are decoded."""
    seen: list[Path] = []

    def dying(source: Path, side: int) -> np.ndarray:
        if len(seen) == count:
            raise Killed
        seen.append(source)
        return decode(source, side)

    monkeypatch.setattr(encoded, "decode", dying)
    monkeypatch.setattr(encoded, "CHUNK", 1)
    monkeypatch.setattr(journal, "BETWEEN", 2 * 3 * 8 * 8)
    return seen


@pytest.mark.parametrize("count", range(6))
def test_whoever_is_killed_goes_on_where_the_last_shard_ended(
    count: int, files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files[1][1].write_bytes(b"no image")
    if count < 5:
        killed_after(count, monkeypatch)
        with pytest.raises(Killed):
            decode_once(files, 3, SPEC, print)
        assert not stored(tmp_path)
    seen = killed_after(99, monkeypatch)
    said: list[str] = []
    found = decode_once(files, 3, SPEC, said.append)
    assert [source for _, source in files[count // 2 * 2 if count < 5 else 0 :]] == seen
    assert found.images[:, 0, 0, 0].tolist() == found.kept.tolist() == [0, 2, 3, 4]
    assert (found.train, found.bad) == (2, ("1.png",))
    assert any("decoded already" in line for line in said) == (2 <= count < 5)
    assert {file.suffix for file in (tmp_path / "home/decoded").iterdir()} == {
        "",
        ".json",
        ".lock",
    }


@pytest.mark.parametrize("damage", ["pixels", "entry", "shape", "gone"])
def test_what_a_damaged_journal_or_file_says_is_decoded_again(
    damage: str, files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(4, monkeypatch)
    with pytest.raises(Killed):
        decode_once(files, 3, SPEC, print)
    (pixels,) = (tmp_path / "home/decoded").glob("*.unfinished")
    entries = pixels.with_suffix(".progress")
    lines = entries.read_text().splitlines()
    assert len(lines) == 2
    if damage == "pixels":
        whole = bytearray((pixels / "00000").read_bytes())
        whole[-3 * 3 * 64] ^= 1  # of the third image
        (pixels / "00000").write_bytes(whole)
    if damage == "entry":
        entries.write_text(f"{lines[0]}\n{lines[1][:20]}")
    if damage == "shape":
        entries.write_text("\n".join(lines).replace("8, 8", "9, 9"))
    if damage == "gone":
        (pixels / "00000").unlink()
    seen = killed_after(99, monkeypatch)
    found = decode_once(files, 3, SPEC, print)
    assert len(seen) == (3 if damage in ("pixels", "entry") else 5)
    assert found.images[:, 0, 0, 0].tolist() == list(range(5))


def test_a_foreign_file_among_the_shards_costs_nothing(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at(source: Path, side: int) -> np.ndarray:
        for folder in (tmp_path / "home/decoded").glob("*.unfinished"):
            (folder / ".DS_Store").write_bytes(b"x")
        return decode(source, side)

    monkeypatch.setattr(encoded, "decode", looked_at)
    decode_once(files, 3, SPEC, print)
    (folder,) = stored(tmp_path)
    assert (folder / ".DS_Store").exists()
    monkeypatch.setattr(decoded, "decode_all", lambda *_: pytest.fail("decoded again"))
    assert len(decode_once(files, 3, SPEC, print).images) == 5


def test_whoever_could_not_keep_what_was_decoded_leaves_it_to_the_next(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(99, monkeypatch)
    said: list[str] = []

    def fails(source: str, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as once:
        once.setattr(os, "replace", fails)
        first = decode_once(files, 3, SPEC, said.append)
    assert "cannot be kept" in said[-1] and "Input/output error" in said[-1]
    assert first.images[:, 0, 0, 0].tolist() == list(range(5))
    assert not stored(tmp_path)
    seen = killed_after(99, monkeypatch)
    again = decode_once(files, 3, SPEC, said.append)
    assert len(seen) == 1
    assert again.images[:, 0, 0, 0].tolist() == list(range(5))
    assert len(stored(tmp_path)) == 1


def test_room_that_a_killed_process_took_counts_as_free(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "SMALL", 0)
    killed_after(0, monkeypatch)
    with pytest.raises(Killed):
        decode_once(files, 3, SPEC, print)
    (unfinished,) = (tmp_path / "home/decoded").glob("*.unfinished")
    (unfinished / "00000").write_bytes(b"half of it")
    needed = 5 * 3 * 8 * 8 + decoded.SPARE

    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=needed - unfinished.exists())

    monkeypatch.setattr(decoded.shutil, "disk_usage", usage)
    killed_after(99, monkeypatch)
    assert len(decode_once(files, 3, SPEC, print).images) == 5


def test_pixels_are_on_the_disk_before_an_entry_or_a_name_speaks_of_them(
    files: list[tuple[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    synced: list[int | str],
) -> None:
    monkeypatch.setattr(mapped, "SHARD", mmap.PAGESIZE)
    killed_after(99, monkeypatch)
    monkeypatch.setattr(journal, "BETWEEN", mmap.PAGESIZE)
    lengths, add = [0], journal.Journal.add
    seen: list[tuple[int, int]] = []

    def adding(self: journal.Journal, *given: Any) -> None:
        synced.clear()
        add(self, *given)
        assert self.file is not None
        end = self.kept * 3 * 32 * 32
        folder = self.file.with_suffix(".unfinished")
        first, last = lengths[-1] // mmap.PAGESIZE, (end - 1) // mmap.PAGESIZE
        shards = [shard.stat().st_ino for shard in sorted(folder.iterdir())]
        told = synced.index(self.file.stat().st_ino)
        assert set(shards[first : last + 1]) <= set(synced[:told])
        seen.append((first, last))
        lengths.append(end)
        synced.clear()

    monkeypatch.setattr(journal.Journal, "add", adding)
    decode_once(files, 3, DataSpec(name="x", size=32), print)
    assert len(seen) >= 2 and seen[-1][1] > 0
    (folder,) = stored(tmp_path)
    shards = {shard.stat().st_ino for shard in folder.iterdir()}
    assert len(shards) > 2
    assert shards <= set(synced[: synced.index(folder.name)])


def test_what_earlier_versions_decoded_of_the_same_images_is_removed_and_told(
    files: list[tuple[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home/decoded"
    folder.mkdir(parents=True)
    facts = [
        (os.fsencode(file.absolute()).hex(), file.stat().st_size, file.stat().st_mtime_ns)
        for _, file in files
    ]
    earlier = []
    for version in (2, 3):
        key = sha256(json.dumps([version, 8, 5, facts]).encode()).hexdigest()[:32]
        for suffix in (".npy", ".json", ".lock", ".progress", ".unfinished"):
            earlier.append(folder / f"{key}{suffix}")
            earlier[-1].write_bytes(b"x" * 2**20)
    others = [folder / f"{'0' * 32}.npy", folder / "mine.npy", folder / f"{key}.notes"]
    for other in others:
        other.write_bytes(b"x")
    with monkeypatch.context() as once, pytest.raises(Killed):
        killed_after(2, once)
        decode_once(files, 3, SPEC, print)
    assert all(file.exists() for file in earlier)
    said: list[str] = []
    decode_once(files, 3, SPEC, said.append)
    assert not any(file.exists() for file in earlier)
    assert all(other.exists() for other in others)
    assert sum("earlier version" in line for line in said) == 1
    decode_once(files, 3, SPEC, said.append)
    assert sum("earlier version" in line for line in said) == 1
