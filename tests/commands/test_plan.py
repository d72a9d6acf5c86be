import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spice_cli.stages import pace, room

Spice = Callable[..., Any]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "STEPS", 1)


@pytest.fixture
def folder() -> Path:
    """A hundred small images of three kinds."""
    draw, out = np.random.default_rng(0), Path("icons")
    out.mkdir()
    for number in range(100):
        pixels = draw.integers(0, 60, (8, 8, 3))
        pixels[..., number % 3] += 180
        Image.fromarray(pixels.astype(np.uint8)).save(out / f"{number:03}.png")
    return out


def test_a_dry_run_shows_stages_and_settings_with_reasons_and_writes_nothing(
    spice: Spice, folder: Path
) -> None:
    result = spice("run", folder, "-k", 3, "--dry-run")
    assert not Path("runs").exists()
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [
        ["pretrain", "to do"],
        ["embed", "to do"],
        ["self-label", "to do"],
    ]
    assert all(float(low) <= float(high) for _, _, low, high in lines)
    assert result.stderr.count("batches of 16 are at most a quarter") == 1
    assert "too few to train a network on" in result.stderr
    assert "memory up to" in result.stderr


def test_a_dry_run_of_several_processes_says_what_one_takes_and_all_of_this_host(
    spice: Spice, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    asked = ("run", folder, "-k", 3, "--until", "embed", "--dry-run")
    last = " ".join(spice(*asked).stderr.split()).rpartition("in all ")[2]
    assert "one process alone, of 4" in last
    one, both = re.search(
        r"memory up to (.*) in each of 2 processes, (.*) on this host", last
    ).groups()
    found = json.loads(spice(*asked, "--json").stdout)
    assert found["processes"] == 2
    assert (one, both) == tuple(f"{n * found['memory'] / 1e9:.1f} GB" for n in (1, 2))


def test_a_dry_run_compares_the_most_on_the_disk_with_what_is_free(
    spice: Spice, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT", 1)
    asked = ("run", folder, "-k", 3, "--until", "embed", "--dry-run")
    found = json.loads(spice(*asked, "--json").stdout)
    one, two = found["stages"]
    assert two["peak"] == 2 * two["disk"]
    assert found["disk"] == one["disk"] + two["disk"]
    assert found["peak"] == one["disk"] + two["peak"]
    for free, enough in ((found["peak"], True), (found["peak"] - 1, False)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free)
        )
        assert ("which is not enough" in " ".join(spice(*asked).stderr.split())) is not enough


def test_a_number_of_clusters_that_nobody_says_is_asked_for_before_settings_are_picked(
    spice: Spice, folder: Path, tmp_path: Path
) -> None:
    failed = spice("run", folder, code=2)
    assert "how many clusters?" in failed.stderr and "--clusters auto" in failed.stderr
    assert "settings for" not in failed.stderr
    ends = tmp_path / "ends.toml"
    ends.write_text('until = "embed"\n[pretrain]\nepochs = 1\nbatch_size = 16\n')
    for enough in (("--recipe", ends), ("--set", "self-label.clusters=3")):
        spice("run", folder, *enough, "--dry-run")


def test_a_dry_run_as_json_has_the_sections_and_the_range(spice: Spice, folder: Path) -> None:
    found = json.loads(spice("run", folder, "-k", 3, "--dry-run", "--json").stdout)
    assert found["recipe"] == "planned"
    assert found["sections"]["pretrain"]["batch_size"] == 16
    assert found["seconds"][0] <= found["seconds"][1]
    assert [each["stage"] for each in found["stages"]] == ["pretrain", "embed", "self-label"]


def test_a_folder_of_a_hundred_images_runs_and_again_changes_nothing(
    spice: Spice, folder: Path
) -> None:
    few = ("--set", "pretrain.epochs=2", "--set", "self-label.epochs=2")
    first = spice("run", folder, "-k", 3, *few)
    assert "report runs/icons/report.html" in first.stderr.replace("\n", "")
    manifest = json.loads(Path("runs/icons/run.json").read_text())
    assert manifest["recipe"]["name"] == "planned"
    assert manifest["recipe"]["sections"]["pretrain"]["batch_size"] == 16
    assert manifest["recipe"]["reasons"]
    assert list(manifest["stages"]) == ["pretrain", "embed", "self-label"]
    again = spice("run", folder, "-k", 3, *few, "--no-report")
    assert json.loads(Path("runs/icons/run.json").read_text()) == manifest
    assert again.stderr.count("is up to date") == 3
    states = spice("run", folder, "-k", 3, *few, "--dry-run").stdout
    assert states.count("up to date") == 3


def test_other_minutes_plan_anew_and_the_same_do_not(spice: Spice, folder: Path) -> None:
    def recipe() -> Any:
        return json.loads(Path("runs/icons/run.json").read_text())["recipe"]

    until = ("--until", "pretrain", "--set", "pretrain.epochs=1")
    spice("run", folder, "-k", 3, *until)
    assert "minutes" not in recipe()
    spice("run", folder, "-k", 3, "--minutes", 30, *until)
    kept = recipe()
    assert kept["minutes"] == 30
    assert "30 minutes" in kept["reasons"][0]
    result = spice("run", folder, "-k", 3, "--minutes", 30, *until)
    assert recipe() == kept
    assert "settings for" not in result.stderr
    spice("run", folder, "-k", 3, *until)
    assert recipe() == kept


def test_a_recipe_and_data_sets_that_have_one_are_not_planned(
    spice: Spice, folder: Path, tiny: Path, copied: Path
) -> None:
    spice("run", folder, "-k", 3, "--recipe", tiny, "--until", "pretrain")
    manifest = json.loads(Path("runs/icons/run.json").read_text())
    assert manifest["recipe"]["name"] == str(tiny)
    found = json.loads(spice("run", "digits", "-r", copied, "--dry-run", "--json").stdout)
    assert found["recipe"] == str(tiny)
    assert {each["state"] for each in found["stages"]} == {"up to date"}
    assert found["seconds"] == [0, 0]


def test_all_seeds_of_a_family_have_the_same_settings(spice: Spice, folder: Path) -> None:
    few = ("--set", "pretrain.epochs=1", "--until", "pretrain")
    spice("run", folder, "-k", 3, "--seeds", 2, *few)
    first, second = (
        json.loads(Path(f"runs/icons-seeds/seed-{seed}/run.json").read_text())["recipe"]
        for seed in (0, 1)
    )
    assert first == second
    assert first["name"] == "planned"
