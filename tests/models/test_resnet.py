import re

import pytest
import torch
import torchvision
from torch import nn

from spice_cli.models.resnet import resnet18, resnet34, small


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("builder", "size", "parameters", "side"),
    [
        (resnet34, 96, 21_276_992, 7),
        (resnet18, 32, 11_168_832, 4),
        (resnet34, 224, 21_284_672, 7),
        (resnet34, 64, 21_276_992, 5),
    ],
)
def test_size_decides_the_stem_and_with_it_parameters_and_last_map(
    builder, size, parameters, side
) -> None:
    backbone = builder(size)
    assert count(backbone) == parameters
    with torch.device("meta"):
        backbone = builder(size)
        assert backbone.maps(torch.empty(1, 3, size, size)).shape == (1, 512, side, side)


def test_pool_stem_on_cifar_is_the_reference_network() -> None:
    with torch.device("meta"):
        backbone = resnet34(32, stem="pool")
        assert count(backbone) == 21_276_992
        assert backbone.maps(torch.empty(1, 3, 32, 32)).shape == (1, 512, 3, 3)


def test_small_keeps_a_map_on_eight_pixels() -> None:
    with torch.device("meta"):
        assert small(8).maps(torch.empty(1, 3, 8, 8)).shape == (1, 256, 2, 2)


def test_width_scales_every_stage() -> None:
    with torch.device("meta"):
        assert resnet18(32, width=16).features == 128


@pytest.mark.parametrize("ours", [resnet18, resnet34])
def test_imagenet_stem_computes_what_torchvision_computes(ours) -> None:
    theirs = getattr(torchvision.models, ours.__name__)(weights=None)
    theirs.fc = nn.Identity()
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)

    def rename(key: str) -> str:
        key = re.sub(r"^layer(\d)", lambda m: f"stages.{int(m[1]) - 1}", key)
        return "body." + key.replace("conv1", "stem.0", key.startswith("conv1")).replace(
            "bn1", "stem.1", key.startswith("bn1")
        )

    backbone = ours(224)
    backbone.load_state_dict({rename(k): v for k, v in theirs.state_dict().items()})
    images = torch.randn(2, 3, 64, 64)
    for training in (False, True):
        torch.testing.assert_close(
            backbone.train(training)(images), theirs.train(training)(images), rtol=1e-4, atol=1e-4
        )


def test_initial_weights_are_kaiming_over_the_fan_out_and_unit_batch_norm() -> None:
    backbone = resnet18(32)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
