"""`spice import`: a backbone that another program trained; see also stages/test_weights.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import nn

Spice = Callable[..., Any]


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


@pytest.fixture
def theirs() -> Any:
    """Write `moco.pth.tar`, as FAIR's MoCo does; return its network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = torchvision.models.resnet18(weights=None)
        made.fc = nn.Identity()
        made(torch.randn(8, 3, 32, 32))
    weights = {f"module.encoder_q.{name}": tensor for name, tensor in made.state_dict().items()}
    weights["module.queue"] = torch.ones(8, 16)
    torch.save({"epoch": 1, "state_dict": weights}, "moco.pth.tar")
    return made.eval()


def test_a_run_goes_on_from_anothers_backbone(spice: Spice, theirs: nn.Module) -> None:
    result = spice("import", "moco.pth.tar", "digits", "--seed", 3)
    run = Path("runs/digits")
    assert result.stdout == f"{run}\n"
    assert "the network under `state_dict.module.encoder_q`" in result.stderr
    assert "left out: `state_dict.module.queue` (1)" in result.stderr
    record = manifest(run)["stages"]["pretrain"]
    assert (record["imported"], record["seed"]) == (True, 3)
    config = record["config"]
    assert (config["backbone"], config["width"], config["stem"]) == ("resnet18", 64, "imagenet")
    assert config["from"]["name"] == str(Path("moco.pth.tar").resolve())
    spice("embed", "--precision", "fp32")
    from spice_cli.config.data import DataSpec
    from spice_cli.data.load import load
    from spice_cli.ops.augment import plain

    images = load(DataSpec(name="digits"), lambda message: None).images[:10]
    with torch.no_grad():
        expected = F.normalize(theirs(plain(images)))
    found = load_file(run / "embed.safetensors")["embeddings"][:10]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_pretrain_from_reads_the_same_files(spice: Spice, theirs: nn.Module) -> None:
    line = ["pretrain", "digits", "--from", "moco.pth.tar", "--backbone", "resnet18"]
    line += ["--set", "width=64"]
    refused = spice(*line, code=4).stderr
    assert "`state_dict.module.encoder_q.conv1.weight` is (64, 3, 7, 7), not" in refused
    assert "spice import" in refused
    spice(*line, "--set", "stem=imagenet")
    names = load_file("runs/digits/pretrain.safetensors").keys()
    assert "backbone.body.stages.3.1.bn2.running_var" in names


def test_the_hint_for_a_broken_import_makes_it_anew(spice: Spice, theirs: nn.Module) -> None:
    spice("import", "moco.pth.tar", "digits", "-r", "r")
    before = (Path("r") / "pretrain.safetensors").read_bytes()
    (Path("r") / "pretrain.safetensors").write_bytes(b"")
    hint = spice("embed", "-r", "r", code=4).stderr.split("hint: ")[1].strip()
    spice(*hint.split()[1:])
    assert (Path("r") / "pretrain.safetensors").read_bytes() == before


def test_into_a_run_that_is_there(spice: Spice, theirs: nn.Module, copied: Path) -> None:
    record = spice("import", "moco.pth.tar", "-r", copied, "--json").stdout
    assert json.loads(record)["config"]["backbone"] == "resnet18"
    assert "stale" in spice("evaluate", "-r", copied, code=4).stderr
    refused = spice("import", "moco.pth.tar", "-r", copied, "--protocol", "split", code=2).stderr
    assert "spice import moco.pth.tar DATASET --protocol" in refused


def test_a_backbone_or_stem_that_does_not_fit_is_refused(spice: Spice, theirs: nn.Module) -> None:
    deeper = spice("import", "moco.pth.tar", "digits", "--backbone", "resnet34", code=4).stderr
    assert "do not fit `resnet34`" in deeper
    assert "`state_dict.module.encoder_q.layer1.2.conv1.weight` is missing" in deeper
    stem = spice("import", "moco.pth.tar", "digits", "--stem", "small", code=4).stderr
    assert "conv1.weight` is (64, 3, 7, 7), not (64, 3, 3, 3)" in stem
    assert "did you mean `imagenet`?" in spice(
        "import", "moco.pth.tar", "digits", "--stem", "imagnet", code=2
    ).stderr.replace("\n", " ")


def test_files_that_cannot_be_read_start_no_run(spice: Spice, theirs: nn.Module) -> None:
    assert "there is no file `gone.pth`" in spice("import", "gone.pth", "digits", code=3).stderr
    Path("cut.pth").write_bytes(Path("moco.pth.tar").read_bytes()[:1000])
    assert "cut short" in spice("import", "cut.pth", "digits", code=4).stderr
    torch.save(theirs, "whole.pth")
    assert "more than weights" in spice("import", "whole.pth", "digits", code=4).stderr
    assert not Path("runs").exists()
