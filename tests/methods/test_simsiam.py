from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spice_cli.errors import UsageError
from spice_cli.methods.plan import Plan, Rate
from spice_cli.methods.simsiam import SimSiam, opposition
from spice_cli.models.resnet import small

PLAN = Plan(images=64, clusters=None, batch=8, epochs=4, steps=8)


def build(**settings) -> SimSiam:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SimSiam(small(8, width=4), SimSiam.Config(**{"dim": 12, **settings}), PLAN)


def views(n: int = 8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n, 3, 8, 8, generator=generator), torch.arange(n), generator


def linear(module: nn.Module) -> list[nn.Linear]:
    return [each for each in module.modules() if isinstance(each, nn.Linear)]


def norms(module: nn.Module) -> list[nn.BatchNorm1d]:
    return [each for each in module.modules() if isinstance(each, nn.BatchNorm1d)]


def test_opposition_equals_equation_1_and_stops_the_gradient() -> None:
    p, z = (torch.randn(5, 4, requires_grad=True) for _ in range(2))
    found = opposition(p, z)
    expected = -sum(a @ b / (a.norm() * b.norm()) for a, b in zip(p, z.detach(), strict=True)) / 5
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, p)[0] for loss in (found, expected)))
    opposition(p, z).backward()
    assert z.grad is None


def test_loss_and_gradient_are_those_of_both_directions_each_view_on_its_own() -> None:
    method = build()
    twin = deepcopy(method)
    for each in twin.backbone.modules():
        if hasattr(each, "splits"):
            each.splits = 1
    pair, rows, generator = views()
    loss = method(pair, rows, generator)
    loss.backward()
    z = [twin.projector(twin.backbone(view)) for view in pair]
    p = [twin.predictor(each) for each in z]
    halves = [F.cosine_similarity(p[i], z[1 - i].detach()).mean() / 2 for i in (0, 1)]
    expected = -sum(halves)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for a, b in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layers", [2, 3])
def test_the_projector_has_as_many_layers_and_ends_in_a_batch_norm(layers) -> None:
    projector = build(layers=layers).projector
    assert [each.out_features for each in linear(projector)] == [12] * layers
    assert all(each.bias is None for each in linear(projector))
    assert len(norms(projector)) == layers
    assert [*projector.children()][-1] is norms(projector)[-1]
    assert norms(projector)[-1].affine
    assert not norms(build(affine=False).projector)[-1].affine


def test_the_predictor_narrows_to_a_quarter() -> None:
    first, last = linear(build().predictor)
    assert (first.out_features, first.bias) == (3, None)
    assert (last.in_features, last.out_features) == (3, 12)


def test_projections_are_four_times_as_wide_as_features_2048_at_resnet18() -> None:
    assert linear(build(dim=None).projector)[-1].out_features == 64
    with torch.device("meta"):
        large = SimSiam(small(8, width=128), SimSiam.Config(), PLAN)
    assert large.backbone.features == 512
    assert linear(large.projector)[-1].out_features == 2048


def test_the_predictors_rate_is_fixed_unless_told() -> None:
    assert build().rates() == {"predictor.": Rate(fixed=True)}
    assert build(fixed_predictor=False).rates() == {"predictor.": Rate()}


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(UsageError, match="3 parts"):
        build(splits=3).faults()
