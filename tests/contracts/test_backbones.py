import pytest
import torch

from spice_cli.catalog import BACKBONES, load

WIDTH = 8
every_backbone = pytest.mark.parametrize("name", BACKBONES)


def build(name: str, size: int):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return load(BACKBONES[name])(size, width=WIDTH)


@every_backbone
@pytest.mark.parametrize("size", [8, 32, 96])
def test_features_are_the_mean_of_the_maps(name, size) -> None:
    backbone = build(name, size).eval()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features, maps = backbone(images), backbone.maps(images)
    assert features.shape == (2, backbone.features)
    torch.testing.assert_close(features, maps.mean((2, 3)))


@every_backbone
def test_without_a_width_it_has_its_own(name) -> None:
    with torch.device("meta"):
        assert load(BACKBONES[name])(32).features > build(name, 32).features


@every_backbone
def test_channels_last_changes_no_result(name) -> None:
    backbone = build(name, 32)
    images = torch.randn(4, 3, 32, 32)
    expected = backbone.eval()(images)
    backbone.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-4)
    assert backbone.maps(images).is_contiguous(memory_format=torch.channels_last)


@every_backbone
def test_eval_is_deterministic_and_treats_images_one_by_one(name) -> None:
    backbone = build(name, 8).eval()
    images = torch.randn(3, 3, 8, 8)
    expected = backbone(images)
    assert torch.equal(backbone(images), expected)
    alone = torch.cat([backbone(image[None]) for image in images])
    torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-4)


@every_backbone
def test_it_leaves_the_images_alone(name) -> None:
    images = torch.randn(2, 3, 8, 8)
    before = images.clone()
    build(name, 8)(images)
    assert torch.equal(images, before)


@every_backbone
def test_features_are_float32_and_trainable_under_autocast(name) -> None:
    backbone = build(name, 8)
    with torch.autocast("cpu", torch.bfloat16):
        features = backbone(torch.randn(4, 3, 8, 8))
    assert features.dtype == torch.float32
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())
