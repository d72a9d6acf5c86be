import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parent.parent / "benchmarks" / "kill.py"


@pytest.fixture(scope="module")
def kill() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("kill", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill"] = module
    spec.loader.exec_module(module)
    return module


def test_a_killed_run_goes_on_to_the_same_bytes(
    kill: ModuleType, tiny: Path, finished: Path, tmp_path: Path
) -> None:
    assert os.environ["OMP_NUM_THREADS"] == "1"  # as many as `finished` was made with
    trials = kill.study(tiny, tmp_path, kill.digests(finished), seconds=7, trials=2, seed=1)
    assert all(0 <= each.moment <= 7 for each in trials)
    assert [each.fault for each in trials] == ["", ""]


def test_the_harness_notices_other_bytes(
    kill: ModuleType, tiny: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill, "pipeline", lambda recipe, run: kill.spice("status", "-r", str(run)))
    expected = kill.digests(finished)
    assert kill.trial(tiny, finished, moment=0, expected=expected).fault == ""
    other = {**expected, "semi": "0" * 64}
    found = kill.trial(tiny, finished, moment=0, expected=other)
    assert (found.during, found.fault) == ("evaluate", "other bytes in semi")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert "does not open" in kill.trial(tiny, broken, moment=0, expected=expected).fault
