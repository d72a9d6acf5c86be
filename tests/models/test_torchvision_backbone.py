import pytest
import torch
from torchvision import models

from spice_cli.errors import InvalidError, UsageError
from spice_cli.models.labels import UNKNOWN
from spice_cli.models.torchvision_backbone import TorchVision

NAMES = [
    "resnet18",
    "convnext_tiny",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "densenet121",
    "regnet_y_400mf",
]


def pair(name: str):
    theirs = models.get_model(name, weights=None).eval()
    network = TorchVision(name)
    facts = network.facts(None, own=True)
    return theirs, network.load(facts, theirs.state_dict()).eval(), facts


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_reaches_torchvisions_classifier(name) -> None:
    theirs, ours, _ = pair(name)
    ours.side = 64
    seen: list[torch.Tensor] = []
    last = theirs.get_submodule(
        {"resnet18": "fc", "convnext_tiny": "classifier.2", "regnet_y_400mf": "fc"}.get(
            name, "classifier"
        )
    )
    last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        theirs(images)
        found, maps = ours(images), ours.maps(images)
    torch.testing.assert_close(found, seen[0], rtol=1e-4, atol=1e-5)
    assert maps.shape[:2] == (2, ours.features)
    if name != "convnext_tiny":
        torch.testing.assert_close(maps.mean((2, 3)), found, rtol=1e-4, atol=1e-5)


def test_preprocessing_is_torchvisions() -> None:
    facts = TorchVision("resnet50.IMAGENET1K_V2").facts(None, own=True)
    assert (facts.side, facts.mean, facts.std) == (
        224,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    )
    assert facts.trained == "trained on ImageNet's labels"
    assert TorchVision("resnet50").facts(None, own=True).trained == UNKNOWN
    assert "IMAGENET1K_V2" in TorchVision("resnet50").facts(None, own=False).title


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "nonsense", "fcn_resnet50", "resnet18.V9"])
def test_other_networks_and_weights_are_refused(name) -> None:
    with pytest.raises(UsageError):
        TorchVision(name)


def test_weights_that_do_not_fit_are_named() -> None:
    network = TorchVision("resnet18")
    facts = network.facts(None, own=True)
    state = models.resnet34(weights=None).state_dict()
    del state["bn1.bias"]
    state["conv1.weight"] = torch.ones(1)
    with pytest.raises(InvalidError, match=r"`conv1\.weight` is \(1,\), not \(64, 3, 7, 7\); "):
        network.load(facts, state)
