from pathlib import Path

import pytest
import torch

from spice_cli.config.pretrain import Pretrain
from spice_cli.errors import InvalidError, UsageError
from spice_cli.run.store import Run
from spice_cli.stages.backbone import build, fill, restore


def test_an_unknown_backbone_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="`resnet17` is not a backbone; there are small, resnet"):
        build("resnet17", Pretrain(), 32)


def test_width_and_stem_belong_to_the_backbone_that_the_config_names() -> None:
    config = Pretrain(backbone="small", width=4)
    assert build("small", config, 8)(torch.zeros(2, 3, 8, 8)).shape[1] == 16
    other = build("resnet18", config, 8)
    assert next(other.parameters()).shape[0] == 64


def test_filling_wants_every_tensor_and_no_other() -> None:
    layer = torch.nn.Linear(2, 3)
    good = {"a.weight": torch.ones(3, 2), "a.bias": torch.ones(3), "b.else": torch.ones(1)}
    fill(layer, good, "a.")
    assert bool((layer.weight == 1).all())
    with pytest.raises(InvalidError, match=r"`a\.bias` is missing"):
        fill(layer, {"a.weight": torch.ones(3, 2)}, "a.")
    with pytest.raises(InvalidError, match=r"`a\.more` is unknown"):
        fill(layer, {**good, "a.more": torch.ones(1)}, "a.")
    with pytest.raises(InvalidError, match=r"`a\.weight` is \(2, 3\), not \(3, 2\)"):
        fill(layer, {**good, "a.weight": torch.ones(2, 3)}, "a.")


def test_many_faults_are_counted() -> None:
    layer = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(4)))
    with pytest.raises(InvalidError, match="and 5 more"):
        fill(layer, {}, "a.")


def test_the_backbone_comes_back_frozen_in_its_statistics(finished: Path) -> None:
    run = Run.open(finished)
    backbone = restore(run, torch.device("cpu"))
    assert not backbone.training
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(backbone(images), restore(run, torch.device("cpu"))(images))
