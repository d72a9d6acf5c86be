import json
from pathlib import Path

import pytest

from spice_cli.errors import InvalidError
from spice_cli.run.log import Log
from spice_cli.run.manifest import Stage


def epochs(log: Log) -> list[int]:
    return [json.loads(line)["epoch"] for line in log.path.read_text().splitlines()]


def test_a_line_an_epoch(tmp_path: Path) -> None:
    log = Log(tmp_path, Stage.SELF_LABEL)
    log.append({"epoch": 1, "loss": 0.1 + 0.2})
    log.append({"epoch": 2, "loss": float("nan")})
    lines = (tmp_path / "self-label.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "loss": 0.1 + 0.2},
        {"epoch": 2, "loss": None},
    ]


def test_rewinding_drops_what_came_after(tmp_path: Path) -> None:
    log = Log(tmp_path, Stage.EMBED)
    log.rewind(3)
    for epoch in range(1, 6):
        log.append({"epoch": epoch})
    log.rewind(3)
    log.append({"epoch": 4})
    assert epochs(log) == [1, 2, 3, 4]


@pytest.mark.parametrize("torn", [b'{"epoch": 2', b'{"epoch": 2}', b"\xff\n", b"[]\n", b"{}\n"])
def test_torn_lines_are_dropped(tmp_path: Path, torn: bytes) -> None:
    log = Log(tmp_path, Stage.EMBED)
    log.append({"epoch": 1})
    with log.path.open("ab") as stream:
        stream.write(torn)
    log.rewind(9)
    assert epochs(log) == [1]


def test_clearing_starts_anew(tmp_path: Path) -> None:
    log = Log(tmp_path, Stage.EMBED)
    log.clear()
    log.append({"epoch": 1})
    log.clear()
    assert not log.path.exists()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="could not write `.*embed.jsonl`"):
        Log(tmp_path / "none", Stage.EMBED).append({"epoch": 1})
