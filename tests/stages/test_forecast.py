from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.config.pretrain import Pretrain
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.stages import pace
from spice_cli.stages.forecast import forecast, free_disk, total
from spice_cli.stages.pending import pending

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "STEPS", 1)


def configs(run: Run, **changed: str) -> dict[str, Any]:
    sections = run.manifest.recipe.sections
    return {
        stage: stage_config(
            stage, sections.get(stage), {}, [changed[stage]] if stage in changed else []
        )
        for stage in (s.value for s in Stage if s in run.manifest.stages)
    }


def test_all_of_a_finished_run_is_up_to_date_and_takes_no_time(finished: Path) -> None:
    run = Run.open(finished)
    lines = forecast(run, configs(run), clusters=None, seed=0, device=CPU, network=None)
    assert {line.state for line in lines} == {"up to date"}
    assert total(lines) == (0, 0)


def test_what_follows_a_change_is_to_be_done_again_and_nothing_is_written(finished: Path) -> None:
    run = Run.open(finished)
    before = (finished / "run.json").read_bytes()
    changed = configs(run, **{"self-label": "heads=3"})
    states = pending(run, changed, 0)
    assert list(states.values()) == ["up to date", "up to date", "to do", "to do", "to do"]
    lines = forecast(run, changed, clusters=None, seed=0, device=CPU, network=None)
    assert [line.seconds is not None for line in lines] == [False, False, True, True, True]
    low, high = total(lines)
    assert 0 < low < high
    assert all(line.memory > 0 and line.disk > 0 for line in lines[2:])
    assert (finished / "run.json").read_bytes() == before


def test_another_seed_is_to_be_done_from_the_start(finished: Path) -> None:
    run = Run.open(finished)
    assert set(pending(run, configs(run), 1).values()) == {"to do"}


def test_updates_are_timed_with_the_memory_they_keep() -> None:
    config = Pretrain(
        method="simclr", backbone="small", width=8, batch_size=8,
        settings=stage_config("pretrain", {"method": "simclr"}, {}).settings,
    )  # fmt: skip
    found = pace.pretraining(config, 8, CPU, "fp32", None)
    assert found.step > 0
    assert found.saved > 8 * 2 * 3 * 8 * 8 * 4
    assert found.features == 32
    whole, half = found.semi_step(8, 1, 8), found.semi_step(4, 1, 8)
    assert whole == pytest.approx(2 * half)
    assert whole == pytest.approx(found.step * 24 / 16)


def test_the_free_disk_of_a_run_that_is_not_there_yet_is_known(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") > 0
