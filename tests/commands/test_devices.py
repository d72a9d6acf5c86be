"""Whether a process is one of several, as its environment says."""

import os
import subprocess
import sys

import pytest

from spice_cli.commands import devices
from spice_cli.errors import UsageError
from spice_cli.stages.group import Group
from spice_cli.stages.join import join

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
FOUR = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def surround(monkeypatch: pytest.MonkeyPatch, said: dict[str, str]) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, text in said.items():
        monkeypatch.setenv(name, text)


@pytest.mark.parametrize(
    ("said", "started"),
    [
        ({}, False),
        ({"WORLD_SIZE": "2"}, False),
        ({"WORLD_SIZE": "many"}, False),
        ({"RANK": "1"}, False),
        ({"RANK": "0", "WORLD_SIZE": "1"}, False),
        ({"RANK": "1", "WORLD_SIZE": "2"}, True),
    ],
)
def test_a_process_is_one_of_several_where_a_launcher_gave_it_a_rank(
    said: dict[str, str], started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    surround(monkeypatch, said)
    assert devices._started() == started


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"MASTER_ADDR": ""}, "`MASTER_ADDR` is not set"),
        ({"MASTER_PORT": ""}, "`MASTER_PORT` is not set"),
        ({"WORLD_SIZE": "many"}, "`WORLD_SIZE` is `many`"),
        ({"RANK": "-1"}, "`RANK` is `-1`"),
        ({"RANK": "2"}, "`RANK` is `2`"),
    ],
)
def test_what_a_launcher_left_out_is_one_error(
    change: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    surround(monkeypatch, FOUR | change)
    with pytest.raises(UsageError, match=name):
        join()


def test_the_command_line_ends_with_one_error_where_there_is_no_address() -> None:
    env = {**os.environ, "RANK": "0", "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "spice_cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert "error: `RANK` and `WORLD_SIZE` say" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("batch", "images", "world", "hint"),
    [
        (31, 1000, 2, "--set batch_size=30"),
        (5, 1000, 8, "--set batch_size=8"),
        (5, 5, 8, "--devices 5"),
        (5, 5, 2, "--set batch_size=4"),
        (1, 1, 2, "leave `--devices` out"),
    ],
)
def test_a_batch_that_cannot_be_dealt_out_has_a_hint_that_helps(
    batch: int, images: int, world: int, hint: str
) -> None:
    with pytest.raises(UsageError, match=f"a batch of {batch} cannot") as caught:
        Group(world=world).check_batch(batch, images)
    assert caught.value.hint == hint


def test_devices_share_the_cores_that_this_process_may_run_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert devices.cores() == 6
