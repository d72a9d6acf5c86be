import pytest
import torch

from spice_cli.errors import InvalidError, UsageError
from spice_cli.models.labels import UNKNOWN
from spice_cli.ops.augment import MEAN, STD

timm = pytest.importorskip("timm")

from spice_cli.models.timm_backbone import Timm  # noqa: E402

CONVOLUTIONAL = ["tf_efficientnet_lite0", "convnext_atto", "mobilenetv3_small_050", "resnet10t"]
FIXED = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "vit_base_patch32_siglip_256"]


def filled(name: str, *, seed: int = 1, **settings: object):
    """A network of timm's with random weights, and ours with the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = timm.create_model(name, **settings).eval()
        for part in theirs.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
        network = Timm(name)
        facts = network.facts(None, own=True)
        return theirs, network.load(facts, theirs.state_dict()).eval(), facts


def pixels(side: int, facts):
    """The same image with ImageNet's normalisation and with the network's own."""
    plain = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))

    def normal(mean, std):
        return (plain - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    return normal(MEAN, STD), normal(facts.mean, facts.std)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224", "convnext_atto"])
def test_features_are_those_of_timm_on_pixels_as_it_wants_them(name) -> None:
    theirs, ours, facts = filled(name)
    images, own = pixels(facts.side, facts)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(own), pre_logits=True)
        torch.testing.assert_close(ours(images), expected, rtol=1e-3, atol=1e-4)
    assert ours.features == expected.shape[1]


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto"])
def test_maps_have_a_feature_a_place_and_one_place_is_the_whole(name) -> None:
    _, ours, facts = filled(name)
    ours.side = 32
    with torch.no_grad():
        maps = ours.maps(torch.randn(2, 3, 32, 32))
        assert maps.shape == (2, ours.features, 1, 1)
        images = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(ours.maps(images)[:, :, 0, 0], ours(images))


def test_maps_of_a_transformer_are_its_patches() -> None:
    theirs, ours, facts = filled("vit_tiny_patch16_224")
    images, own = pixels(224, facts)
    with torch.no_grad():
        tokens = theirs.forward_features(own)[:, 1:]
        maps = ours.maps(images)
    assert maps.shape == (2, 192, 14, 14)
    torch.testing.assert_close(maps.flatten(2).mT, tokens, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", FIXED)
def test_a_network_of_one_side_is_built_and_maps_its_places(name) -> None:
    network = Timm(name)
    facts = network.facts(None, own=False)
    with torch.device("meta"):
        net = network._create(facts, num_classes=0)
    assert net.num_features
    assert facts.side in (224, 256)


def test_small_images_are_resized_to_the_networks_side_and_others_are_not() -> None:
    facts = Timm("vit_tiny_patch16_224").facts(None, own=False)
    assert facts.patch == 16
    assert facts.at(32).side == 224
    assert facts.at(112).side == 112
    assert facts.at(120).side == 224
    assert facts.at(448).side == 448
    assert Timm("resnet18").facts(None, own=False).at(150).side == 150


def test_a_transformer_takes_images_of_another_side() -> None:
    network = Timm("vit_tiny_patch16_224")
    facts = network.facts(None, own=False).at(112)
    ours = network.build(facts).eval()
    with torch.no_grad():
        assert ours.maps(torch.randn(1, 3, 112, 112)).shape == (1, 192, 7, 7)
        assert ours(torch.randn(1, 3, 40, 40)).shape == (1, 192)


@pytest.mark.parametrize("classes", [0, 7, 1000])
def test_the_classifier_of_a_file_does_not_matter(classes) -> None:
    theirs, ours, _ = filled("resnet10t", num_classes=classes)
    for name, value in ours.body.net.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])


def test_weights_that_do_not_fit_are_refused() -> None:
    network = Timm("resnet10t")
    facts = network.facts(None, own=True)
    state = timm.create_model("resnet10t").state_dict()
    missing = {name: value for name, value in state.items() if "layer3" not in name}
    for wrong in (missing, {**state, "layer9.weight": torch.ones(1)}, {"a": torch.ones(2)}):
        with pytest.raises(InvalidError, match="do not fit `timm/resnet10t`"):
            network.load(facts, wrong)


def test_a_network_that_timm_does_not_have_suggests_others() -> None:
    with pytest.raises(UsageError, match="`resnet18`"):
        Timm("resnet1888")
    with pytest.raises(UsageError, match="no network `resnet18.nonsense`"):
        Timm("resnet18.nonsense")


def test_a_file_of_ones_own_is_of_unknown_training_unless_the_tag_is_named() -> None:
    assert Timm("resnet18").facts(None, own=True).trained == UNKNOWN
    assert Timm("resnet18").facts(None, own=True).title == "`timm/resnet18`"
    assert Timm("resnet18").facts(None, own=False).trained == "trained on ImageNet's labels"
    assert Timm("resnet18").facts(None, own=False).title == "`timm/resnet18.a1_in1k`"
    named = Timm("vit_small_patch14_dinov2.lvd142m").facts(None, own=True)
    assert named.trained == "trained without labels"
