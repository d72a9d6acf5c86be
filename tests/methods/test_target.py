import math

import pytest
import torch
import torch.nn.functional as F

from spice_cli.methods.projector import projector
from spice_cli.methods.target import (
    Target,
    disagreement,
    ema_at,
    ema_for,
    predictor,
    width_for,
)
from spice_cli.models.resnet import small


def online(seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = small(8, width=4)
        return backbone, projector(backbone.features, 16, 6, batch_norm=True)


def test_disagreement_and_its_gradient_are_those_of_the_equation() -> None:
    predicted = torch.randn(5, 7).requires_grad_()
    twin = predicted.detach().clone().requires_grad_()
    target = F.normalize(torch.randn(5, 7))
    expected = sum(
        ((p / p.norm() - t) ** 2).sum() for p, t in zip(twin, target, strict=True)
    ) / len(target)
    found = disagreement(predicted, target)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(predicted.grad, twin.grad)


@pytest.mark.parametrize("step", [0, 1, 30, 99, 100])
def test_ema_rises_to_one_by_half_a_cosine(step) -> None:
    expected = 1 - (1 - 0.9) * (math.cos(math.pi * step / 100) + 1) / 2
    assert ema_at(torch.tensor(step), 0.9, 100).item() == pytest.approx(expected, abs=1e-6)


def test_ema_without_an_end_stays() -> None:
    assert ema_at(torch.tensor(50), 0.9, None).item() == pytest.approx(0.9)


def test_ema_is_the_references_in_long_trainings_and_less_in_short_ones() -> None:
    assert ema_for(100_000) == 0.996
    assert 0 < ema_for(1) <= ema_for(100) < ema_for(1000) < 0.996


@pytest.mark.parametrize("steps", [None, 10])
def test_parameters_follow_by_their_average_and_batch_norms_do_not(steps) -> None:
    backbone, head = online()
    target = Target(backbone, head, ema=0.75, steps=steps)
    ahead = online(seed=1)
    for step in range(3):
        share = 1 - 0.25 * ((math.cos(math.pi * step / steps) + 1) / 2 if steps else 1)
        before = [p.clone() for p in target.parameters()]
        target.follow(*ahead)
        now = [p for part in ahead for p in part.parameters()]
        for own, old, new in zip(target.parameters(), before, now, strict=True):
            torch.testing.assert_close(own, share * old + (1 - share) * new)
    assert target.step == 3
    assert all(b.count_nonzero() == 0 for n, b in target.named_buffers() if "mean" in n)


def test_target_starts_as_a_copy_and_gives_unit_rows_without_gradient() -> None:
    backbone, head = online()
    target = Target(backbone, head, ema=0.9, steps=None)
    images = torch.rand(4, 3, 8, 8, requires_grad=True)
    rows = target(images)
    torch.testing.assert_close(rows, F.normalize(head(backbone(images))))
    assert not rows.requires_grad
    assert not any(p.requires_grad for p in target.parameters())


def test_predictor_starts_near_zero_with_batch_norm_within() -> None:
    first, norm, _, last = predictor(64, 128)
    for layer in (first, last):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not last.bias.any()
    assert isinstance(norm, torch.nn.BatchNorm1d)


def test_hidden_layers_are_the_references_for_every_resnet() -> None:
    assert [width_for(features) for features in (512, 2048, 64)] == [4096, 4096, 512]
