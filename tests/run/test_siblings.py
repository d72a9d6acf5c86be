import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Spice = Callable[..., Any]


@pytest.fixture
def united(finished: Path, tmp_path: Path) -> Path:
    """A run whose `semi` was made of the `semi` of two runs beside it."""
    for name in ("seed-0", "seed-1", "both"):
        shutil.copytree(finished, tmp_path / "family" / name)
    run = tmp_path / "family" / "both"
    content = json.loads((run / "run.json").read_text())
    del content["check"]
    record = content["stages"]["semi"]
    members = {"seed-0": record["sha256"], "seed-1": record["sha256"]}
    content["stages"] = {"semi": record | {"inputs": {}, "config": {"from": {"members": members}}}}
    (run / "run.json").write_text(json.dumps(content))
    return run


def test_it_is_current_while_the_others_are_as_they_were(spice: Spice, united: Path) -> None:
    assert json.loads(spice("status", "-r", united, "--json").stdout)["semi"] == "done"
    spice("evaluate", "-r", united)


def test_it_is_stale_once_one_of_them_changed(spice: Spice, united: Path) -> None:
    spice("semi", "-r", united.parent / "seed-1", "--set", "steps=2")
    assert json.loads(spice("status", "-r", united, "--json").stdout)["semi"] == "stale"
    refused = spice("evaluate", "-r", united, code=4).stderr
    assert "stale: `semi` of `seed-1` changed" in refused
    assert f"hint: spice run digits --seeds 2 --seed 0 -r {united.parent}\n" in refused


def test_runs_that_are_gone_do_not_count(spice: Spice, united: Path) -> None:
    shutil.rmtree(united.parent / "seed-0")
    shutil.move(united, "alone")
    spice("evaluate", "-r", "alone")


def test_a_link_beside_it_is_not_followed(spice: Spice, united: Path, tmp_path: Path) -> None:
    spice("semi", "-r", united.parent / "seed-1", "--set", "steps=2")
    shutil.move(united.parent / "seed-1", tmp_path / "elsewhere")
    (united.parent / "seed-1").symlink_to(tmp_path / "elsewhere")
    assert json.loads(spice("status", "-r", united, "--json").stdout)["semi"] == "done"


@pytest.mark.parametrize("name", ["../outside", "/", "a\0b"])
def test_a_name_that_leads_elsewhere_is_one_error(spice: Spice, united: Path, name: str) -> None:
    content = json.loads((united / "run.json").read_text())
    content["stages"]["semi"]["config"] = {"from": {"members": {name: "0" * 64}}}
    (united / "run.json").write_text(json.dumps(content))
    (united / "run.json.spare").unlink()
    said = spice("status", "-r", united, code=4).stderr
    assert "is not a manifest: `stages.semi` is wrong: `from` names no runs beside it" in said
