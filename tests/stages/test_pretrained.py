from pathlib import Path

import pytest
import torch

from spice_cli.config.pretrain import Pretrain
from spice_cli.console import Terminal
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build, restore
from spice_cli.stages.origin import network_of, origin
from spice_cli.stages.pretrained import adopt_pretrained, find_pretrained

timm = pytest.importorskip("timm")
NAME = "timm/resnet10t"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of a small network, as its authors would have saved them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


def adopted(run: Run, weights: Path, **more: bool) -> None:
    found = find_pretrained(NAME, weights, print)
    adopt_pretrained(run, found, seed=0, track=Terminal(), **{"force": False, **more})


def test_the_network_comes_back_as_what_pretrain_left(copied: Path, weights: Path) -> None:
    run = Run.open(copied)
    adopted(run, weights)
    record = run.record(Stage.PRETRAIN)
    assert record.imported
    assert record.config["backbone"] == NAME
    state = restore(run, torch.device("cpu")).body.net.state_dict()
    theirs = torch.load(weights, weights_only=True)
    assert all(torch.equal(value, theirs[name]) for name, value in state.items())
    assert network_of(run.manifest) == NAME


def test_the_same_weights_are_not_taken_twice_but_others_are(copied: Path, weights: Path) -> None:
    run = Run.open(copied)
    adopted(run, weights)
    before = run.record(Stage.PRETRAIN).finished
    adopted(run, weights)
    assert run.record(Stage.PRETRAIN).finished == before
    adopted(run, weights, force=True)
    assert run.record(Stage.PRETRAIN).finished > before
    state = torch.load(weights, weights_only=True)
    torch.save({name: value + 1 for name, value in state.items()}, weights)
    adopted(run, weights)
    assert run.state(Stage.EMBED) == "stale"


def test_the_command_that_makes_it_again_names_network_and_file(
    copied: Path, weights: Path
) -> None:
    run = Run.open(copied)
    adopted(run, weights)
    command = run.command(Stage.PRETRAIN, force=True)
    assert command == f"spice embed --backbone {NAME} --weights {weights} --force -r {copied}"


def test_weights_of_another_network_leave_the_run_as_it_was(copied: Path, weights: Path) -> None:
    run = Run.open(copied)
    before = (copied / "run.json").read_bytes()
    torch.save(timm.create_model("resnet14t").state_dict(), weights)
    with pytest.raises(InvalidError, match="do not fit `timm/resnet10t`"):
        adopted(run, weights)
    torch.save({"a": object}, weights)
    with pytest.raises(InvalidError):
        adopted(run, weights)
    weights.unlink()
    with pytest.raises(MissingError):
        adopted(run, weights)
    assert (copied / "run.json").read_bytes() == before


def test_weights_that_are_not_numbers_are_refused(copied: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({**state, "conv1.0.weight": state["conv1.0.weight"] * torch.nan}, weights)
    with pytest.raises(InvalidError, match="makes no features"):
        adopted(Run.open(copied), weights)


def test_where_the_features_come_from_is_said(copied: Path, weights: Path) -> None:
    run = Run.open(copied)
    assert origin(run) == "features: SimCLR from scratch on these images, no labels"
    adopted(run, weights)
    said = "whether labels trained it is unknown"
    assert origin(run) == f"features: `{NAME}`, {said}"


def test_it_is_not_built_without_a_record_of_it() -> None:
    with pytest.raises(UsageError, match="comes with its weights"):
        build(NAME, Pretrain(), 32)
    with pytest.raises(InvalidError, match="no record of how"):
        build(NAME, Pretrain(backbone=NAME), 32)
