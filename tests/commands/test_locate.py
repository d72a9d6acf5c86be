import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Spice = Callable[..., Any]


@pytest.fixture
def two(finished: Path, tmp_path: Path) -> list[Path]:
    """`runs/old` and `runs/new`, and beside them `a run`."""
    for name in ("runs/old", "runs/new", "a run"):
        shutil.copytree(finished, tmp_path / name)
    os.utime("runs/new/run.json", (2e9, 2e9))
    return [Path("runs/old"), Path("runs/new")]


def about(result: Any) -> str:
    """The run that `spice status` was about, as its heading has it."""
    lines = [line for line in result.stderr.splitlines() if ": digits, 1,797 training" in line]
    return str(lines[0].split(": digits")[0])


@pytest.mark.usefixtures("two")
def test_the_newest_in_runs_is_taken_and_named_on_stderr(spice: Spice) -> None:
    result = spice("status")
    assert result.stderr.splitlines()[0] == "run runs/new"
    assert about(result) == "runs/new"
    os.utime("runs/old/run.json", (2.1e9, 2.1e9))
    assert about(spice("status")) == "runs/old"


@pytest.mark.usefixtures("two")
def test_the_flag_wins_over_the_environment_and_that_over_where_we_stand(
    spice: Spice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "a run")
    result = spice("status")
    assert about(result) == "."
    assert "run runs" not in result.stderr
    monkeypatch.setenv("SPICE_RUN", str(tmp_path / "runs/old"))
    assert about(spice("status")) == str(tmp_path / "runs/old")
    assert about(spice("status", "--run", tmp_path / "runs/new")) == str(tmp_path / "runs/new")
    assert about(spice("status", "-r", "../runs/new")) == "../runs/new"


@pytest.mark.usefixtures("two")
def test_a_dash_reads_the_first_line_of_stdin(spice: Spice) -> None:
    assert about(spice("status", "-r", "-", input="a run\nrest\n")) == "a run"
    assert "did the stage before fail?" in spice("status", "-r", "-", input="", code=3).stderr
    assert "there is no run at" in spice("status", "-r", "-", input="nowhere\n", code=3).stderr


@pytest.mark.usefixtures("two")
def test_a_stage_takes_the_environments_run(spice: Spice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICE_RUN", "a run")
    assert spice("embed").stdout == "a run\n"
    assert spice("pretrain", "digits").stdout == "a run\n"
    assert spice("run", "digits", "--json").stdout.startswith('{"embed": {"acc": ')


@pytest.mark.usefixtures("two")
def test_a_directory_without_a_manifest_is_no_run(spice: Spice, tmp_path: Path) -> None:
    (tmp_path / "runs/empty").mkdir()
    assert about(spice("status")) == "runs/new"
    assert "there is no run at `runs/empty`" in spice("status", "-r", "runs/empty", code=3).stderr
    (tmp_path / "file").write_text("")
    assert "there is no run at `file`" in spice("status", "-r", "file", code=3).stderr
