import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError
from spice_cli.run.files import (
    check_own,
    naming,
    partial,
    quoted,
    remove,
    remove_folder,
    replacing,
    sha256,
    write_text,
)


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    with replacing(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_no_partial_one(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    with pytest.raises(failure), replacing(file) as partial:
        partial.write_text("half")
        raise failure
    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InvalidError, match=f"could not write `{file}`: file too large") as at:
            write_text(file, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert at.value.exit_code == 4
    assert "make room" in at.value.hint
    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])


def test_no_directory_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="`.*/none/f`: no such file"):
        write_text(tmp_path / "none" / "f", "x")


def test_permission_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="could not read `x`: permission denied"):  # noqa: SIM117
        with naming(Path("x"), "read"):
            raise PermissionError(13, "Permission denied")


def test_sha256_agrees_with_the_one_of_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abc" * 1000)
    code = "import hashlib,sys;print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    with file.open("rb") as stream:
        said = subprocess.run([sys.executable, "-c", code], stdin=stream, capture_output=True)
    assert sha256(file) == said.stdout.decode().strip()


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "f")
    with pytest.raises(InvalidError, match="could not remove"):
        remove(tmp_path)


def test_a_directory_goes_with_its_files_and_a_link_to_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "00000").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    with pytest.raises(InvalidError, match="could not remove"):
        remove_folder(tmp_path / "link")
    assert (tmp_path / "rows" / "00000").exists()
    remove_folder(tmp_path / "rows")
    remove_folder(tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_a_path_can_be_pasted() -> None:
    assert quoted(Path("my runs/a")) == "'my runs/a'"


def test_a_link_in_the_place_of_a_partial_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("kept")
    partial(tmp_path / "f").symlink_to(tmp_path / "secret")
    write_text(tmp_path / "f", "new")
    assert (tmp_path / "secret").read_text() == "kept"
    assert not (tmp_path / "f").is_symlink()


@pytest.mark.parametrize("name", ["run.json", "embed.safetensors", "embed.JSONL", ".lock"])
def test_what_a_run_reads_or_adds_to_may_not_be_a_link_or_a_pipe(tmp_path: Path, name: str) -> None:
    check_own(tmp_path)
    (tmp_path / "images").symlink_to("/")
    check_own(tmp_path)
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(InvalidError, match=f"{name}` is a link"):
        check_own(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvalidError, match=f"{name}` is no regular file"):
        check_own(tmp_path)
