from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from spice_cli.errors import UsageError
from spice_cli.methods.byol import BYOL
from spice_cli.methods.plan import Plan, Rate
from spice_cli.models.resnet import small
from spice_cli.models.split_batch_norm import split_batch_norm

PLAN = Plan(images=64, clusters=None, batch=8, epochs=4, steps=8)


def build(**settings) -> BYOL:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        defaults = {"dim": 6, "hidden": 10, "ema": 0.9}
        return BYOL(small(8, width=4), BYOL.Config(**{**defaults, **settings}), PLAN)


def views(n: int = 8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n, 3, 8, 8, generator=generator), torch.arange(n), generator


def apart(method: BYOL) -> BYOL:
    """A twin before its next step, with weights of its target that are not the online ones."""
    with torch.no_grad():
        for parameter in method.target.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=views()[2]))
    twin = deepcopy(method)
    for module in (twin.backbone, twin.target.backbone):
        for each in module.modules():
            if hasattr(each, "splits"):
                each.splits = 1
    return twin


def test_loss_and_gradient_are_those_of_the_equations_one_direction_and_image_at_a_time() -> None:
    method = build()
    twin = apart(method)
    pair, rows, generator = views()
    loss = method(pair, rows, generator)
    loss.backward()
    twin.target.follow(twin.backbone, twin.projector)
    total = 0
    for view, other in ((0, 1), (1, 0)):
        predicted = twin.predictor(twin.projector(twin.backbone(pair[view])))
        with torch.no_grad():
            target = twin.target.projector(twin.target.backbone(pair[other]))
        for q, z in zip(predicted, target, strict=True):
            total = total + (q / q.norm() - z / z.norm()).square().sum() / (2 * len(rows))
    total.backward()
    torch.testing.assert_close(loss, total)
    for found, expected in zip(method.parameters(), twin.parameters(), strict=True):
        if expected.grad is None:
            assert found.grad is None
        else:
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-5)


def test_the_target_moves_before_the_loss_and_gets_no_gradient() -> None:
    method = build(ema=0.75, ema_rises=False)
    apart(method)
    before = deepcopy(method)
    method(*views()).backward()
    moved = dict(method.target.named_parameters())
    for name, old in before.target.named_parameters():
        online = before.get_parameter(name)
        torch.testing.assert_close(moved[name], 0.75 * old + 0.25 * online)
        assert moved[name].grad is None


def test_the_target_stands_still_at_the_end() -> None:
    method = build(ema=0.5)
    apart(method)
    method.target.step.fill_(PLAN.epochs * PLAN.steps)
    before = deepcopy(method.target)
    method(*views())
    pairs = zip(before.parameters(), method.target.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_split_targets_come_back_in_order_from_their_shuffled_parts() -> None:
    method = build(splits=4)
    pair, _, generator = views()
    images = pair.flatten(0, 1)
    order = torch.randperm(16, generator=torch.Generator().set_state(generator.get_state()))
    twin = apart(method)
    found = method.target.both(pair, 4, generator)
    for part in order.split(2):
        alone = F.normalize(twin.target.projector(twin.target.backbone(images[part])))
        torch.testing.assert_close(found[part], alone)


def test_a_short_training_forgets_its_random_start() -> None:
    assert build(ema=None).target.ema < 0.9
    assert build(ema=0.996).target.ema == 0.996


def test_the_predictor_learns_faster() -> None:
    assert build(predictor_rate=3).rates() == {"predictor.": Rate(factor=3)}


def test_it_leaves_the_targets_projections() -> None:
    method = build()
    apart(method)
    images = views()[0][0]
    method.eval()
    with torch.no_grad():
        left = method.leaves(lambda of: of(images))["projections"]
        expected = method.target.projector(method.target.backbone(images))
    torch.testing.assert_close(left, F.normalize(expected))


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(UsageError, match="3 parts"):
        build(splits=3).faults()


def test_the_kept_backbone_is_a_plain_one_with_split_batch_norms() -> None:
    plain = small(8, width=4)
    split_batch_norm(plain, 2)
    plain.load_state_dict(build().backbone.state_dict())
