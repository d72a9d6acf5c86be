"""Every recipe goes through all of its stages, with its own settings but at toy size.

Kept are methods, losses, views, optimisers and all that is not named here; small are networks,
images, batches, heads and numbers of steps.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.catalog import DATASETS
from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset
from spice_cli.settings.recipes import last_stage, read_recipe, recipe_names
from spice_cli.stages import semi
from spice_cli.stages.images import forget

Spice = Callable[..., Any]
SIDE, TRAIN, TEST, UNLABELLED, CLASSES = 16, 36, 12, 6, 2
ALL = {
    "pretrain": {"backbone": "small", "width": 4, "epochs": 1, "batch_size": 32},
    "self-label": {},
    "select-reliable": {"min_per_cluster": 1},
    "semi": {"steps": 1, "batch_size": 4, "ratio": 1},
}
OF_METHOD = {
    "pretrain": {"pcl": {"prototypes": [4, 8], "queue": 16}, "moco": {"queue": 16}},
    "self-label": {
        "spice": {"heads": 2, "epochs": 3, "batch_size": 24, "entropy": 5},
        "scan": {"heads": 2, "epochs": 1, "confident.epochs": 1, "confident.threshold": 0},
    },
    "select-reliable": {"spice": {"agreement": 0, "confidence": 0}},
}
DEFAULT = {"pretrain": "moco", "self-label": "spice", "select-reliable": "spice"}


def textured(spec: DataSpec, say: Callable[[str], None]) -> Dataset:
    """Noise and flat colour, for whatever data set a recipe names."""
    n = UNLABELLED + TRAIN + TEST
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(n) % CLASSES
    noise = 255 * torch.rand(n, 3, SIDE, SIDE, generator=generator)
    flat = torch.tensor([250.0, 30.0, 30.0])[:, None, None].expand(3, SIDE, SIDE)
    kinds = torch.stack([torch.full_like(flat, 127.5), flat])[classes]
    share = torch.tensor([1.0, 0.1])[classes][:, None, None, None]
    everything = kinds.lerp(noise, share).to(torch.uint8)
    return Dataset(
        images=everything[UNLABELLED:],
        train=TRAIN + TEST if spec.protocol == "whole" else TRAIN,
        classes=CLASSES,
        names=("noise", "flat"),
        paths=None,
        bad=(),
        read_labels=lambda: None,
        test=TEST,
        pool=everything,
    )


def toys(recipe: str) -> list[str]:
    """Spell the settings that make a recipe small, as `--set` takes them."""
    sections, flags = read_recipe(recipe), []
    for stage, shared in ALL.items():
        section = sections.get(stage, {})
        method = str(section.get("method", DEFAULT.get(stage)))
        values = {**shared, **OF_METHOD.get(stage, {}).get(method, {})}
        if stage == "semi" and "backbone" in section:
            values["backbone"] = "small"
        flags += [f"{stage}.{key}={json.dumps(value)}" for key, value in values.items()]
    return [word for text in flags for word in ("--set", text)]


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_to_its_end(name: str, spice: Spice, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute = DATASETS[str(read_recipe(name)["data"]["name"])].split(":")
    monkeypatch.setattr(import_module(module), attribute, textured)
    monkeypatch.setattr(semi, "check_shares", lambda *_, **__: None)
    forget()
    spice("run", name, "-r", "r", "--no-report", *toys(name))
    forget()
    manifest = json.loads(Path("r/run.json").read_text())
    order = ["pretrain", "embed", "self-label", "select-reliable", "semi"]
    end = last_stage(name) or "semi"
    assert list(manifest["stages"]) == order[: order.index(end) + 1]
    for stage, method in DEFAULT.items():
        if stage in manifest["stages"]:
            config = manifest["stages"][stage]["config"]
            assert config["method"] == read_recipe(name).get(stage, {}).get("method", method)
