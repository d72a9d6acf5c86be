"""Runs of every format that was ever written: this program opens them, and goes on with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spice_cli.run.manifest import FORMAT, Stage

Spice = Callable[..., Any]
KEPT = Path(__file__).parent / "runs"
STAGES = [stage.value for stage in Stage if stage is not Stage.ASK]


@pytest.fixture(params=sorted(folder.name for folder in KEPT.iterdir() if folder.is_dir()))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(KEPT / request.param, tmp_path / "r")


def contents(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def test_one_of_each_format_is_kept_and_small() -> None:
    folders = [folder for folder in KEPT.iterdir() if folder.is_dir()]
    assert {contents(folder)["format"] for folder in folders} == set(range(1, FORMAT + 1))
    for folder in folders:
        assert sum(file.stat().st_size for file in folder.iterdir()) < 300_000


def test_it_opens_and_its_scores_are_those_it_was_left_with(spice: Spice, kept: Path) -> None:
    before = json.loads((kept / "evaluate.json").read_text())
    assert json.loads(spice("status", "-r", kept, "--json").stdout) == dict.fromkeys(STAGES, "done")
    found = json.loads(spice("evaluate", "-r", kept, "--json").stdout)
    assert found.pop("of")["stage"] == "semi"
    assert found == pytest.approx(before["scores"], abs=1e-9)
    assert json.loads((kept / "evaluate.json").read_text())["input"] == before["input"]


def test_it_goes_on_with_another_stage(spice: Spice, kept: Path) -> None:
    before = contents(kept)["stages"]
    spice("self-label", "--method", "kmeans", "-k", 4, "-r", kept)
    for stage in ("select-reliable", "semi"):
        spice(stage, "-r", kept)
    after = contents(kept)["stages"]
    assert [after[name]["sha256"] == before[name]["sha256"] for name in STAGES] == [
        True, True, False, False, False,
    ]  # fmt: skip
    spice("evaluate", "-r", kept)


@pytest.mark.parametrize("command", ["status", "evaluate", "semi"])
def test_a_newer_format_is_one_error(spice: Spice, kept: Path, command: str) -> None:
    content = {**contents(kept), "format": FORMAT + 1, "to-come": {}}
    (kept / "run.json").write_text(json.dumps(content))
    said = spice(command, "-r", kept, code=4).stderr
    assert said.startswith("error: `") and "was written by a newer `spice`" in said
    assert "hint: pip install --upgrade" in said
    assert said.count("error:") == 1
