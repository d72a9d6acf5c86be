import sys
import time
from pathlib import Path

import pytest

from benchmarks.resumable import Step, perform

PYTHON = (sys.executable, "-S", "-c")
SLEEP = "import time; time.sleep(600)"


def step(code: str, *more: str) -> Step:
    return Step("part", "name", (code, *more))


def test_a_step_that_ends_is_done_its_scores_read_and_never_run_again(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'x')!r}, 'a').write('x'); print('{{\"acc\": 0.5}}')"
    record = perform(step(code, "--json"), {}, time.monotonic() + 20, PYTHON)
    assert record["done"]
    assert record["scores"] == {"acc": 0.5}
    assert perform(step(code, "--json"), record, time.monotonic() + 20, PYTHON) == record
    assert (tmp_path / "x").read_text() == "x"


def test_a_step_is_interrupted_at_the_deadline_and_its_time_is_added_up() -> None:
    record = perform(step(SLEEP), {}, time.monotonic() + 1.5, PYTHON)
    assert not record["done"]
    assert record["code"] != 0
    again = perform(step(SLEEP), record, time.monotonic() + 1.5, PYTHON)
    assert again["attempts"] == 2
    assert again["seconds"] == pytest.approx(record["seconds"] + 1.5, abs=0.3)


def test_other_settings_start_anew() -> None:
    record = perform(step("raise SystemExit(3)"), {}, time.monotonic() + 20, PYTHON)
    assert (record["code"], record["attempts"]) == (3, 1)
    other = perform(step("pass"), record, time.monotonic() + 20, PYTHON)
    assert (other["done"], other["attempts"]) == (True, 1)
