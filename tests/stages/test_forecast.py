from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.config.pretrain import Pretrain
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.stages import pace, room
from spice_cli.stages.forecast import forecast, free_disk, processes
from spice_cli.stages.lines import Line, disk, total
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
    assert list(states.values()) == [
        "up to date",
        "up to date",
        "redo: heads 4 -> 3",
        "redo: after `self-label`",
        "redo: after `self-label`",
    ]
    lines = forecast(run, changed, clusters=None, seed=0, device=CPU, network=None)
    assert [line.seconds is not None for line in lines] == [False, False, True, True, True]
    low, high = total(lines)
    assert 0 < low < high
    assert all(line.memory > 0 and line.disk > 0 for line in lines[2:])
    assert (finished / "run.json").read_bytes() == before


def test_another_seed_is_to_be_done_from_the_start(finished: Path) -> None:
    run = Run.open(finished)
    assert set(pending(run, configs(run), 1).values()) == {"redo: seed 0 -> 1"}


def test_settings_that_differ_are_named_and_the_rest_counted(finished: Path) -> None:
    run = Run.open(finished)
    many = {**configs(run), "pretrain": configs(run)["pretrain"].model_copy(
        update={"epochs": 2, "batch_size": 7, "lr": 0.5, "width": 9})}  # fmt: skip
    told = pending(run, many, 0)["pretrain"]
    assert told.startswith("redo: ")
    assert told.count(" -> ") == 3
    assert told.endswith(", ...")
    assert "epochs 3 -> 2" in pending(run, configs(run, pretrain="epochs=2"), 0)["pretrain"]
    nested = pending(run, configs(run, pretrain="views.flip=0.25"), 0)["pretrain"]
    assert nested.startswith("redo: views.flip ")


def test_what_is_broken_or_never_made_is_told_from_what_changed(
    copied: Path, forget: Callable[..., Path]
) -> None:
    forget(copied, "semi")
    (copied / "select-reliable.safetensors").unlink()
    run = Run.open(copied)
    sections = run.manifest.recipe.sections
    asked = {**configs(run), "semi": stage_config("semi", sections.get("semi"), {}, [])}
    assert list(pending(run, asked, 0).values()) == [
        *["up to date"] * 3,
        "redo: its file is broken",
        "to do",
    ]


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


def test_rows_that_are_kept_until_they_are_written_lie_on_the_disk_twice(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(finished)
    changed = configs(run, embed="views=1")
    rows = 4 * 1797 * run.record(Stage.EMBED).tensors["embeddings"].shape[1] * 3
    for least, times in ((rows + 1, 1), (rows, 2)):
        monkeypatch.setattr(room, "KEPT", least)
        lines = forecast(run, changed, clusters=None, seed=0, device=CPU, network=None)
        assert (lines[1].disk, lines[1].peak) == (rows, times * rows)
        assert all(line.peak == line.disk for line in lines[2:])


def test_the_most_on_the_disk_is_what_stages_before_left_and_the_fullest_one_takes() -> None:
    lines = [
        Line("pretrain", "to do", disk=5, peak=5),
        Line("embed", "to do", disk=10, peak=20),
        Line("self-label", "to do", disk=1, peak=1),
    ]
    assert disk(lines) == (16, 25)
    assert disk(lines[:1] + lines[2:]) == (6, 6)
    assert disk(lines, runs=3) == (48, 57)
    assert disk([]) == (0, 0)


def test_processes_are_those_that_the_launcher_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes() == (1, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes() == (4, 2)
