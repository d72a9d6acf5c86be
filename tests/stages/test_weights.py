import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from spice_cli.config.pretrain import Pretrain
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.models.backbone import Backbone
from spice_cli.stages.backbone import build, fill
from spice_cli.stages.weights import backbone_tensors, find, settled

State = dict[str, Tensor]
SIZE = 64


def network(name: str, seed: int = 0) -> Any:
    """Make torchvision's network, its classifier dropped, with the statistics of some batch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = getattr(torchvision.models, name)(weights=None)
        made.fc = nn.Identity()
        made(2 + torch.randn(8, 3, 32, 32))
    return made.eval()


def head(prefix: str) -> State:
    return {f"{prefix}.0.weight": torch.ones(8, 512), f"{prefix}.0.bias": torch.ones(8)}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def shortcuts(state: State) -> State:
    return {name.replace("downsample", "shortcut"): tensor for name, tensor in state.items()}


def numbered(state: State) -> State:
    """Name as `nn.Sequential(*network.children())` does."""
    places = {"conv1": 0, "bn1": 1, **{f"layer{i}": i + 3 for i in range(1, 5)}}
    return {
        re.sub(r"^[a-z]+\d", lambda found: str(places[found[0]]), name): tensor
        for name, tensor in state.items()
    }


def moco(state: State, other: State) -> Any:
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    weights = {
        **under("module.encoder_q.", state),
        **head("module.encoder_q.fc"),
        **under("module.encoder_k.", other),
        **head("module.encoder_k.fc"),
        "module.queue": torch.ones(8, 16),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    return {"epoch": 800, "arch": "resnet18", "state_dict": weights, "optimizer": optimizer}


FOREIGN: dict[str, Callable[[State, State], Any]] = {
    "torchvision": lambda s, o: {**s, "fc.weight": torch.ones(5, 512), "fc.bias": torch.ones(5)},
    "moco": moco,
    "moco, released": lambda s, o: {"state_dict": under("module.encoder_q.", s)},
    "simclr": lambda s, o: {**under("backbone.", s), **head("contrastive_head")},
    "scan": lambda s, o: {
        "model": {**under("module.backbone.", shortcuts(s)), **head("module.cluster_head")},
        "head": 3,
    },
    "spice": lambda s, o: {
        "state_dict": {
            **under("module.feature_module.", s),
            **head("module.head.head_0.classifier"),
        }
    },
    "cc": lambda s, o: {
        "net": {**under("resnet.", s), **head("instance_projector"), **head("cluster_projector")},
        "optimizer": {},
    },
    "propos": lambda s, o: {
        **under("online.backbone.", o),
        **head("online.projector"),
        **under("target.backbone.", s),
        **head("target.projector"),
    },
    "lightly": lambda s, o: under("backbone.", numbered(s)),
    "double precision": lambda s, o: {k: v.double() if v.ndim else v for k, v in s.items()},
    "without counters": lambda s, o: {k: v for k, v in s.items() if "num_batches" not in k},
}


def imported(file: Path, config: Pretrain | None = None, size: int = SIZE) -> Backbone:
    weights = find(file)
    config = config or Pretrain()
    config = config.model_copy(update=settled(weights, config, size))
    backbone = build(config.backbone, config, size)
    fill(backbone, backbone_tensors(weights, config, size), "backbone.")
    return backbone.eval()


def check_same(ours: Backbone, theirs: nn.Module, size: int = SIZE) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(images)
        found = ours(images)
    assert expected.std() > 0
    torch.testing.assert_close(
        found / expected.norm(), expected / expected.norm(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", FOREIGN)
def test_features_are_torchvisions_whatever_the_file_calls_the_layers(name, tmp_path) -> None:
    theirs, other = network("resnet18"), network("resnet18", seed=1)
    torch.save(FOREIGN[name](theirs.state_dict(), other.state_dict()), tmp_path / "weights.pth")
    check_same(imported(tmp_path / "weights.pth"), theirs)


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_deeper_networks_are_recognised(name, ending, tmp_path) -> None:
    theirs, file = network(name), tmp_path / f"weights.{ending}"
    (save_file if ending == "safetensors" else torch.save)(theirs.state_dict(), file)
    assert settled(find(file), Pretrain(), SIZE) == {
        "backbone": name,
        "width": 64,
        "stem": "imagenet",
    }
    check_same(imported(file), theirs)


def test_a_three_by_three_stem_pools_above_48_pixels_or_as_the_config_says(tmp_path) -> None:
    theirs = network("resnet18")
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    pool, file = nn.MaxPool2d(2, 2, padding=1), tmp_path / "weights.pth"
    torch.save(under("backbone.", shortcuts(theirs.state_dict())), file)
    for config, size, pooled in [
        (Pretrain(), 32, False),
        (Pretrain(), 64, True),
        (Pretrain(stem="small"), 64, False),
        (Pretrain(stem="pool"), 32, True),
        (Pretrain(stem="patch"), 32, False),
    ]:
        theirs.maxpool = pool if pooled else nn.Identity()
        check_same(imported(file, config, size), theirs, size)


@pytest.mark.parametrize(
    ("name", "width"), [("small", 8), ("resnet14", 8), ("resnet50", 4), ("wrn28-2", 4)]
)
@pytest.mark.parametrize("prefix", ["", "backbone.", "model.backbone."])
def test_our_own_are_recognised_with_their_width(name, width, prefix, tmp_path) -> None:
    config = Pretrain(backbone=name, width=width, stem="small")
    ours, file = build(name, config, 32), tmp_path / "weights.safetensors"
    save_file(under(prefix, ours.state_dict()), file)
    assert settled(find(file), config, 32) == {"backbone": name, "width": width, "stem": "small"}
    check_same(imported(file, config, 32), ours.eval(), 32)


def test_what_is_beside_the_network_is_named(tmp_path) -> None:
    state = network("resnet18").state_dict()
    torch.save(moco(state, state), tmp_path / "weights.pth")
    left = find(tmp_path / "weights.pth").left_out()
    assert "`state_dict.module.encoder_k` (122)" in left
    assert "`state_dict.module.encoder_q.fc` (2)" in left
    assert "`state_dict.module.queue_ptr` (1)" in left
    assert "`optimizer` (1)" in left


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("broken-into",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_runs_code_is_refused_and_not_run(legacy, tmp_path) -> None:
    state = {**network("resnet18").state_dict(), "evil": Evil()}
    torch.save(state, "evil.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InvalidError, match=r"`evil\.pth` is more than weights: .*mkdir") as refused:
        find(Path("evil.pth"))
    assert "state_dict()" in refused.value.hint
    assert not Path("broken-into").exists()


def test_a_pickled_network_is_refused_by_the_name_of_its_class() -> None:
    torch.save(network("resnet18"), "whole.pth")
    with pytest.raises(InvalidError, match=r"can only be read by running `torchvision\.models"):
        find(Path("whole.pth"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_that_is_cut_short_is_refused(share, kind) -> None:
    state = {f"layer1.{i}": torch.ones(50) for i in range(20)}
    file = Path("cut.safetensors" if kind == "safetensors" else "cut.pth")
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=kind == "zip")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidError, match="cannot be read: it is cut short or not a file of"):
        find(file)


def test_what_is_no_file_of_weights_is_refused() -> None:
    Path("text.pth").write_text("hello")
    with pytest.raises(InvalidError, match="cannot be read"):
        find(Path("text.pth"))
    with pytest.raises(MissingError, match=r"there is no file `gone\.pth`"):
        find(Path("gone.pth"))
    torch.save({"weight": torch.ones(3)}, "linear.pth")
    with pytest.raises(InvalidError, match=r"holds no ResNet that we know, but `weight` \.\.\."):
        find(Path("linear.pth"))
    torch.save({"epoch": 3}, "empty.pth")
    with pytest.raises(InvalidError, match="no tensors"):
        find(Path("empty.pth"))


def test_what_does_not_fit_is_named_as_the_file_names_it(tmp_path) -> None:
    state = under("module.encoder_q.", network("resnet18").state_dict())
    del state["module.encoder_q.bn1.bias"]
    state["module.encoder_q.layer2.0.conv1.weight"] = torch.ones(5, 64, 3, 3)
    state["module.encoder_q.layer1.0.se.weight"] = torch.ones(1)
    torch.save({"state_dict": state}, "other.pth")
    weights = find(Path("other.pth"))
    config = Pretrain(backbone="resnet18", stem="imagenet")
    with pytest.raises(InvalidError) as refused:
        backbone_tensors(weights, config, SIZE)
    prefix = "state_dict.module.encoder_q"
    assert str(refused.value) == (
        f"the weights do not fit `resnet18`: `{prefix}.bn1.bias` is missing; "
        f"`{prefix}.layer1.0.se.weight` is unknown; "
        f"`{prefix}.layer2.0.conv1.weight` is (5, 64, 3, 3), not (128, 64, 3, 3)"
    )
    with pytest.raises(InvalidError, match=r"do not fit `wrn28-2`: .* and \d+ more"):
        backbone_tensors(weights, Pretrain(backbone="wrn28-2"), SIZE)


def test_of_several_networks_one_must_be_named_unless_it_is_clear_which(tmp_path) -> None:
    state = network("resnet18").state_dict()
    torch.save({**under("a.", state), **under("b.net.", state)}, "two.pth")
    with pytest.raises(
        UsageError, match=r"under `a`, `b\.net`, and which is meant is unclear"
    ) as e:
        find(Path("two.pth"))
    assert e.value.hint == "spice import two.pth --part a"
    assert find(Path("two.pth"), "b.net").network.prefix == "b.net."
    assert find(Path("two.pth"), "b.net.").network.prefix == "b.net."
    with pytest.raises(UsageError, match="none under `c`"):
        find(Path("two.pth"), "c")
