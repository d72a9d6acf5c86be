"""The same seed gives the same bytes on a CPU, whatever of the catalogue is asked for."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from spice_cli.catalog import HEADS, METHODS, SELECTIONS, SEMI

Spice = Callable[..., Any]
CHOICES = [
    *(("pretrain", name) for name in METHODS),
    *(("self-label", name) for name in HEADS),
    *(("select-reliable", name) for name in SELECTIONS),
    *(("semi", name) for name in SEMI),
]
SHORTER = {
    "epochs = 3": "epochs = 1",
    "warmup = 1": "warmup = 0",
    "batch_size = 256": "batch_size = 40",
    "[self-label]": "[self-label]\nclusters = 4",
    "steps = 100": "steps = 3",
}
CLUSTERS = ["--clusters", 4]
OWN = {
    "cc": CLUSTERS,
    "moco": ["--set", "queue=64"],
    "pcl": CLUSTERS,
    "propos": CLUSTERS,
    "scan": ["--set", "epochs=1"],
    "temi": ["--set", "epochs=1", "--set", "heads=2"],
    "turtle": ["--set", "epochs=1", "--set", "updates=3"],
}


@pytest.fixture(autouse=True)
def _whatever_falls_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from spice_cli.stages import semi

    monkeypatch.setattr(semi, "check_shares", lambda *_, **__: None)


@pytest.fixture(scope="module")
def short(spice: Spice, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 120 images."""
    folder = tmp_path_factory.mktemp("short")
    grey = (load_digits().images[:120] * 15).astype(np.uint8)
    np.savez(folder / "images.npz", images=grey)
    recipe = tiny.read_text()
    for long, little in SHORTER.items():
        assert long in recipe
        recipe = recipe.replace(long, little)
    (folder / "recipe.toml").write_text(recipe)
    torch.set_num_threads(1)
    line = ["run", folder / "images.npz", "--recipe", folder / "recipe.toml", "-r", folder / "run"]
    spice(*line, "--no-report", "--until", "select-reliable")
    return folder / "run"


def digest(run: Path, stage: str) -> str:
    return hashlib.sha256((run / f"{stage}.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(("stage", "name"), CHOICES)
def test_the_same_seed_gives_the_same_bytes(
    spice: Spice, short: Path, tmp_path: Path, stage: str, name: str
) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        run = shutil.copytree(short, tmp_path / str(state))
        own = OWN.get(name, []) if stage != "select-reliable" else []
        spice(stage, "--method", name, *own, "-r", run, "--force", "--seed", 3)
        found.append(digest(run, stage))
    assert found[0] == found[1]


@pytest.mark.parametrize("stage", ["pretrain", "embed", "self-label", "select-reliable", "semi"])
def test_only_algorithms_of_one_result_do_all_stages_and_say_so(
    spice: Spice, short: Path, tmp_path: Path, stage: str
) -> None:
    run = shutil.copytree(short, tmp_path / "r")
    spice(stage, "-r", run, "--force", "--deterministic")
    record = json.loads((run / "run.json").read_text())["stages"][stage]
    assert record["environment"]["deterministic"] is True
    assert not torch.are_deterministic_algorithms_enabled()
