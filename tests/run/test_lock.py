import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Recipe, Record, Stage
from spice_cli.run.store import Run

HOLD = """
import sys, time
from pathlib import Path
from spice_cli.run.store import Run
with Run.open(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_killed(
    run: Run, write: Callable[..., Record]
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        started = time.monotonic()
        with pytest.raises(InvalidError, match="is being written by another process") as failure:
            write(run, Stage.PRETRAIN)
        assert time.monotonic() - started < 5
        assert failure.value.exit_code == 4
        assert Run.open(run.path).state(Stage.PRETRAIN) == "missing"
    finally:
        holder.kill()
        holder.wait()
    write(run, Stage.PRETRAIN)
    assert run.state(Stage.PRETRAIN) == "done"


def test_the_one_writer_may_nest_its_lock(run: Run, write: Callable[..., Record]) -> None:
    with run.lock():
        with run.lock():
            write(run, Stage.PRETRAIN)
        with pytest.raises(InvalidError, match="another process"):  # noqa: SIM117
            with Run.open(run.path).lock():
                pass
    with Run.open(run.path).lock():
        pass


def test_a_failure_inside_frees_the_lock(run: Run) -> None:
    with pytest.raises(OSError, match="inside"), run.lock():
        raise OSError("inside")
    with Run.open(run.path).lock():
        pass


def test_what_another_writer_finished_meanwhile_is_kept(
    run: Run, write: Callable[..., Record]
) -> None:
    other = Run.open(run.path)
    write(run, Stage.PRETRAIN)
    other.change(recipe=Recipe(name="new"))
    found = Run.open(run.path).manifest
    assert (found.recipe.name, list(found.stages)) == ("new", ["pretrain"])


def test_two_that_both_hold_the_lock_do_not_write_over_each_other(
    run: Run, write: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda descriptor, how: None)
    other = Run.open(run.path)
    with run.lock(), other.lock():
        write(other, Stage.PRETRAIN)
        kept = {file.name: file.read_bytes() for file in run.path.iterdir()}
        for attempt in (
            lambda: write(run, Stage.PRETRAIN),
            lambda: run.change(seed=7),
        ):
            with pytest.raises(InvalidError, match="another process wrote") as failure:
                attempt()
            assert failure.value.exit_code == 4
        assert {file.name: file.read_bytes() for file in run.path.iterdir()} == kept
        other.change(seed=8)
    write(run, Stage.PRETRAIN)
    assert Run.open(run.path).manifest.seed == 8


def test_a_manifest_lost_or_damaged_while_a_stage_works_is_written_anew(
    run: Run, write: Callable[..., Record]
) -> None:
    with run.lock():
        for spoil in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])):
            spoil(run.path / "run.json")
            write(run, Stage.PRETRAIN)
            assert Run.open(run.path).state(Stage.PRETRAIN) == "done"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_as_that(
    run: Run, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InvalidError, match="could not lock") as failure, run.lock():
        pass
    assert "--run" in str(failure.value.hint)


def test_a_file_stands_in_for_locks_that_a_file_system_does_not_know(
    run: Run, write: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", unknown)
    left, other = Run.open(run.path), Run.open(run.path)
    with pytest.raises(InvalidError, match="by another process") as failure, left.lock():
        pass
    assert failure.value.hint.endswith(f"rm {run.path / '.lock'}")
    (run.path / ".lock").unlink()
    with run.lock():
        write(run, Stage.PRETRAIN)
        with pytest.raises(InvalidError, match="by another process"), other.lock():
            pass
    with other.lock():
        pass
    assert run.state(Stage.PRETRAIN) == "done"


def test_a_directory_that_cannot_be_locked_is_named(run: Run, data: object) -> None:
    (run.path / ".lock").unlink()
    (run.path / ".lock").mkdir()
    with pytest.raises(InvalidError, match=f"could not write `{run.path}`: "), run.lock():
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_directory_is_named(run: Run, tmp_path: Path) -> None:
    (run.path / ".lock").unlink()
    run.path.chmod(0o500)
    with pytest.raises(InvalidError, match="permission denied"), run.lock():
        pass
    run.path.chmod(0o700)
