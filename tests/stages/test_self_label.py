"""The stage that any head method runs in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spice_cli.models.classifier import Classifier
from spice_cli.ops.augment import plain
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import fill, restore
from spice_cli.stages.images import images_of

Spice = Callable[..., Any]


def stage(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())["stages"]["self-label"]


def left(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "self-label.safetensors")


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "self-label.jsonl").read_text().splitlines()]


def swap(spice: Spice, run: Path, **more: torch.Tensor) -> None:
    """Give the run a `pretrain` that left more beside its backbone, without changing that."""
    path = Run.open(run)
    record = path.manifest.stages[Stage.PRETRAIN]
    tensors = {**load_file(run / "pretrain.safetensors"), **more}
    path.write(
        Stage.PRETRAIN,
        tensors,
        config=record.config,
        inputs=record.inputs,
        seed=record.seed,
        environment=record.environment,
        seconds=record.seconds,
    )
    spice("embed", "-r", run)


def test_k_means_is_a_head_method_whose_probs_evaluate_scores(spice: Spice, copied: Path) -> None:
    spice("self-label", "-r", copied, "--method", "kmeans")
    config = stage(copied)["config"]
    assert (config["method"], config["heads"], config["epochs"]) == ("kmeans", 1, 1)
    assert list(stage(copied)["inputs"]) == ["data", "embed"]
    (line,) = log(copied)
    assert {"loss", "selection_loss", "largest_share", "empty"} <= line.keys()
    found = json.loads(spice("evaluate", "-r", copied, "--stage", "self-label", "--json").stdout)
    features = json.loads(spice("evaluate", "-r", copied, "--stage", "embed", "--json").stdout)
    assert found["acc"] == pytest.approx(features["acc"], abs=0.05)


def test_the_clusters_that_pretraining_made_can_be_taken(spice: Spice, copied: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, probs = (torch.randn(1797, 10, generator=generator) for _ in range(2))
    swap(spice, copied, projections=rows, probs=probs.softmax(1))
    take = ("self-label", "-r", copied, "--method", "kmeans", "--set")
    spice(*take, "features=head")
    torch.testing.assert_close(left(copied)["probs"], probs.softmax(1))
    assert list(stage(copied)["inputs"]) == ["data", "pretrain", "embed"]
    spice(*take, "features=projections")
    assert left(copied)["heads.centers"].shape == (1, 10, 10)


def test_what_pretraining_did_not_leave_exits_3(spice: Spice, copied: Path) -> None:
    line = ["self-label", "-r", copied, "--method", "kmeans", "--set", "features=head"]
    assert "`pretrain` left no `probs`" in spice(*line, code=3).stderr


def test_a_method_brings_its_own_defaults_and_flags_win(spice: Spice, copied: Path) -> None:
    frozen = ["self-label", "-r", copied, "--method", "scan", "--set", "backbone=frozen"]
    spice(*frozen, "--epochs", 2, "--set", "views=plain")
    config = stage(copied)["config"]
    assert (config["epochs"], config["batch_size"], config["lr"]) == (2, 512, 5.0)
    assert (config["settings"]["neighbors"], config["settings"]["optimizer"]) == (50, "sgd")
    assert left(copied)["heads.weight"].shape[:2] == (10, 10)
    assert "agreement" in log(copied)[-1]
    assert not any(name.startswith("model.") for name in left(copied))


def test_a_backbone_that_was_trained_is_left_as_a_classifier(spice: Spice, copied: Path) -> None:
    line = ["self-label", "-r", copied, "--method", "scan", "--precision", "fp32"]
    line += ["--set", "backbone=train"]
    spice(*line, "--epochs", 2)
    config = stage(copied)["config"]
    assert config["settings"]["backbone"] == "train"
    assert list(stage(copied)["inputs"]) == ["data", "pretrain", "embed"]
    tensors, run = left(copied), Run.open(copied)
    backbone = restore(run, torch.device("cpu"))
    model = Classifier(backbone, 10)
    before = [p.detach().clone() for p in backbone.parameters()]
    fill(model, tensors, "model.")
    assert any(not torch.equal(a, b) for a, b in zip(before, backbone.parameters(), strict=True))
    images = images_of(run, print).images[:64]
    with torch.no_grad():
        probs = model.eval()(plain(images)).softmax(1)
    torch.testing.assert_close(probs, tensors["probs"][:64], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("backbone", ["train", "frozen"])
def test_the_network_teaches_itself_what_it_is_sure_of(
    spice: Spice, copied: Path, backbone: str
) -> None:
    flags = ["--set", f"backbone={backbone}", "--set", "confident.epochs=2", "--epochs", 1]
    flags += ["--set", "confident.threshold=0.1", "--set", "confident.ema=0.5"]
    spice("self-label", "-r", copied, "--method", "scan", "--self-label", *flags)
    first, *rest = log(copied)
    assert "selection_loss" in first
    assert len(rest) == 2
    assert all(0 < line["confident"] <= 1 for line in rest)
    model = Classifier(restore(Run.open(copied), torch.device("cpu")), 10)
    fill(model, left(copied), "model.")


def test_a_network_that_is_sure_of_nothing_is_told_so(spice: Spice, copied: Path) -> None:
    line = ["self-label", "-r", copied, "--method", "scan", "--self-label", "--epochs", 1]
    result = spice(*line, "--set", "confident.threshold=1", code=4)
    assert "not sure of one image" in result.stderr
    assert "confident.threshold=0.9" in result.stderr


def test_what_needs_images_is_refused_without_them(spice: Spice, tmp_path: Path) -> None:
    np.save("rows.npy", np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32))
    spice("embed", "--from", "rows.npy", "-r", "r")
    line = ["self-label", "-r", "r", "-k", 3, "--method", "scan"]
    assert "needs images" in spice(*line, "--self-label", code=2).stderr
    assert "needs images" in spice(*line, "--set", "backbone=train", code=2).stderr
    spice(*line, "--epochs", 3)
    assert stage(Path("r"))["config"]["settings"]["backbone"] == "frozen"


def test_a_flag_of_another_method_is_named(spice: Spice, copied: Path) -> None:
    result = spice("self-label", "-r", copied, "--self-label", code=2)
    assert "`self_label` is not a setting of `self-label`" in result.stderr


def test_lost_clusters_are_told_in_one_line(spice: Spice, copied: Path) -> None:
    tensors = load_file(copied / "embed.safetensors")
    row = torch.nn.functional.one_hot(torch.arange(1797) % 3, tensors["embeddings"].shape[1])
    save_file({"embeddings": row.float()}, "three.safetensors")
    spice("embed", "-r", copied, "--from", "three.safetensors")
    result = spice("self-label", "-r", copied, "--method", "gmm", "--set", "restarts=1")
    lines = [line for line in result.stderr.splitlines() if "have no image" in line]
    assert len(lines) == 1
    assert "of 10 clusters" in lines[0]
    assert log(copied)[-1]["empty"] > 0
