"""Standard streams that are closed, full or of another encoding."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Said = tuple[int, bytes, str]


@pytest.fixture
def shell(clustered: Path) -> Callable[..., Said]:
    """Run a line of the shell; `spice` is the program, `run` a run."""

    def said(line: str, **more: str) -> Said:
        spice = f'spice() {{ "{sys.executable}" -m spice_cli "$@"; }}; '
        done = subprocess.run(
            ["sh", "-c", spice + line.replace(" run", f" '{clustered}'")],
            capture_output=True,
            env={**os.environ, **more},
        )
        return done.returncode, done.stdout, done.stderr.decode()

    return said


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("spice status -r - <&-", 3, "stdin named no run"),
        ("spice status -r - 0>/dev/null", 4, "could not read or write: bad file descriptor"),
        ("spice status -r run >&-", 4, "could not write the result to stdout"),
        ("spice status -r run > /dev/full", 4, "could not write the result to stdout"),
        ("spice datasets > /dev/full", 4, "could not write the result to stdout"),
        (r"printf 'a\0b\n' | spice status -r -", 4, "stdin named no path"),
        (r"printf 'r\377\n' | spice status -r -", 3, r"there is no run at `r\udcff`"),
        ("head -c 9000 /dev/zero | tr '\\0' a | spice status -r -", 4, "file name too long"),
    ],
)
def test_streams_that_are_not_there_end_in_one_error(
    shell: Callable[..., Said], line: str, code: int, message: str
) -> None:
    ended, _, told = shell(line, PYTHONIOENCODING="utf-8:strict")
    assert (ended, told.count("error:")) == (code, 1), told
    assert message in told and "Traceback" not in told and "ignored" not in told


def test_what_nobody_hears_changes_nothing(shell: Callable[..., Said]) -> None:
    code, out, _ = shell("spice status -r run 2>&-")
    assert (code, b"embed\tdone" in out) == (0, True)
    assert shell("spice status -r run <&- 2>&- >&-")[0] == 4


def test_a_run_in_a_directory_whose_name_is_no_text_works(
    shell: Callable[..., Said], spice: Callable[..., Any], clustered: Path, tmp_path: Path
) -> None:
    run = clustered.rename(tmp_path / "r\udcff")
    spice("report", "-r", run, "-o", "page.html", "--map", "pca")
    spice("name", 0, "red", "-r", run)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, told = shell(f"cd '{tmp_path}'; spice compare \"$(printf 'r\\377')\"", **locale)
    assert (code, b"\tr\xff\tself-label\t" in out) == (0, True), told
