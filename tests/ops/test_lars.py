import math

import pytest
import torch
from torch import nn

from spice_cli.ops.lars import Lars


def test_two_steps_equal_a_hand_computation() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
    optimizer = Lars([weight], lr=2.0, momentum=0.9, weight_decay=0.5, trust=0.1)
    weight.grad = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    optimizer.step()
    # |w| = 5, |g| = 2: rate 2 * .1 * 5 / (2 + .5 * 5) = 1 / 4.5, of g + w / 2.
    rate = 1 / 4.5
    first = torch.tensor([[1.5, 2.0], [0.0, 2.0]]) * rate
    after = torch.tensor([[3.0, 0.0], [0.0, 4.0]]) - first
    torch.testing.assert_close(weight.detach(), after)
    weight.grad = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    optimizer.step()
    long = float(after.norm())
    second = 0.2 * long / (1 + 0.5 * long) * (torch.tensor([[1.0, 0.0], [0.0, 0.0]]) + after / 2)
    torch.testing.assert_close(weight.detach(), after - (0.9 * first + second))


def test_vectors_take_plain_momentum_steps_and_do_not_decay() -> None:
    start, gradients = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    lars = Lars([ours], lr=0.3, weight_decay=0.7)
    sgd = torch.optim.SGD([theirs], lr=0.3, momentum=0.9)
    for _ in range(3):
        ours.grad, theirs.grad = gradients.clone(), gradients.clone()
        lars.step()
        sgd.step()
    torch.testing.assert_close(ours, theirs)


def test_a_step_is_as_long_whatever_the_scale_of_the_gradient() -> None:
    for scale in (1e-3, 1e3):
        weight = nn.Parameter(torch.ones(4, 4))
        weight.grad = scale * torch.eye(4)
        Lars([weight], lr=1.0, trust=0.01).step()
        assert float((1 - weight).detach().norm()) == pytest.approx(0.01 * math.sqrt(16))


def test_weights_of_zero_can_leave_zero_and_nothing_becomes_nan() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = Lars([weight], lr=0.5)
    weight.grad = torch.eye(2)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), -0.5 * torch.eye(2))
    still = nn.Parameter(torch.ones(2, 2))
    still.grad = torch.zeros(2, 2)
    Lars([still], lr=0.5).step()
    assert torch.equal(still, torch.ones(2, 2))


def test_it_goes_on_from_its_state() -> None:
    def steps(weight: nn.Parameter, optimizer: Lars, count: int) -> None:
        for _ in range(count):
            weight.grad = weight.detach().cos()
            optimizer.step()

    whole = nn.Parameter(torch.eye(3))
    steps(whole, Lars([whole], lr=1.0), 4)
    part = nn.Parameter(torch.eye(3))
    before = Lars([part], lr=1.0)
    steps(part, before, 2)
    after = Lars([part], lr=1.0)
    after.load_state_dict(before.state_dict())
    steps(part, after, 2)
    assert torch.equal(whole, part)
