import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spice_cli.errors import UsageError
from spice_cli.models.wide_resnet import PreActivationBlock, wrn28_2, wrn28_8, wrn37_2


@pytest.mark.parametrize(
    ("builder", "size", "classes", "parameters", "side"),
    [
        (wrn28_2, 32, 10, 1_467_610, 8),
        (wrn28_8, 32, 20, 23_359_972, 8),
        (wrn37_2, 96, 10, 5_929_434, 6),
        (wrn37_2, 64, 200, 5_978_264, 8),
    ],
)
def test_with_a_classifier_it_has_the_reference_parameters_and_last_map(
    builder, size, classes, parameters, side
) -> None:
    with torch.device("meta"):
        backbone = builder(size)
        model = nn.Sequential(backbone, nn.Linear(backbone.features, classes))
        assert sum(p.numel() for p in model.parameters()) == parameters
        assert backbone.maps(torch.empty(1, 3, size, size)).shape[-2:] == (side, side)


def test_width_is_the_first_stage() -> None:
    with torch.device("meta"):
        wide, narrow = wrn28_2(32, width=128), wrn28_8(32)
        shapes = [[p.shape for p in b.parameters()] for b in (wide, narrow)]
    assert shapes[0] == shapes[1]


def test_batch_norm_is_slow() -> None:
    momenta = {m.momentum for m in wrn28_2(32).modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {0.001}


@pytest.mark.parametrize("stem", ["pool", "imagenet"])
def test_a_stem_it_has_not_is_refused(stem) -> None:
    with pytest.raises(UsageError, match=f"`{stem}`") as caught:
        wrn28_2(32, stem=stem)
    assert caught.value.hint == "--set stem=auto"


@pytest.mark.parametrize("activate_shortcut", [True, False])
def test_only_the_first_block_activates_its_shortcut(activate_shortcut) -> None:
    block = PreActivationBlock(4, 6, 2, activate_shortcut=activate_shortcut).eval()
    images = torch.randn(2, 4, 8, 8)
    active = F.leaky_relu(images / (1 + 1e-5) ** 0.5, 0.1)
    shortcut = F.conv2d(active if activate_shortcut else images, block.shortcut.weight, stride=2)
    hidden = F.conv2d(active, block.conv1.weight, stride=2, padding=1)
    hidden = F.leaky_relu(hidden / (1 + 1e-5) ** 0.5, 0.1)
    expected = shortcut + F.conv2d(hidden, block.conv2.weight, padding=1)
    torch.testing.assert_close(block(images.clone()), expected)


def test_the_shortcut_of_an_equal_shape_is_the_input_itself() -> None:
    block = PreActivationBlock(4, 4, activate_shortcut=True)
    nn.init.zeros_(block.conv2.weight)
    images = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(images), images)
