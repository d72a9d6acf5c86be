import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.models.backbone import Backbone
from spice_cli.ops.augment import plain
from spice_cli.stages.heat import COLOURS, likeness, overlay, scale


def backbone() -> Backbone:
    return Backbone(nn.Conv2d(3, 5, 4, stride=4), 5)


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_heat_is_the_cosine_of_each_place_with_the_centre() -> None:
    net, pictures, centers = backbone(), images(40), torch.randn(40, 5)
    heat = likeness(net, pictures, centers)
    assert heat is not None
    assert heat.shape == (40, 4, 4)
    with torch.no_grad():
        place = net.maps(plain(pictures[37:38]))[0, :, 2, 1]
    assert float(heat[37, 2, 1]) == pytest.approx(
        float(F.cosine_similarity(place, centers[37], dim=0)), abs=1e-5
    )


def test_places_of_another_kind_than_the_centre_have_no_heat() -> None:
    assert likeness(backbone(), images(2), torch.randn(2, 7)) is None


def test_all_pictures_share_one_scale() -> None:
    heat = torch.cat([torch.full((9, 2, 2), 0.2), torch.full((9, 2, 2), 0.8)])
    low, high = scale(heat)
    assert (low, high) == pytest.approx((0.2, 0.8))
    black = torch.zeros(18, 3, 8, 8, dtype=torch.uint8)
    painted = overlay(black, heat, low, high).float() / 0.55
    assert painted[0, :, 4, 4].tolist() == pytest.approx(COLOURS[0], abs=1)
    assert painted[-1, :, 4, 4].tolist() == pytest.approx(COLOURS[-1], abs=1)


def test_the_middle_of_the_scale_has_the_middle_colour_and_level_heat_is_no_fault() -> None:
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    painted = overlay(black, torch.full((1, 2, 2), 0.5), 0.0, 1.0).float() / 0.55
    assert painted[0, :, 4, 4].tolist() == pytest.approx(COLOURS[2], abs=1)
    low, high = scale(torch.ones(1, 2, 2))
    assert high > low
