from copy import deepcopy

import pytest
import torch
from torch import nn

from spice_cli.ops.schedule import ema_decay
from spice_cli.semi.average import Average, follower


def test_it_decays_as_the_weights_average_does() -> None:
    average, expected = Average(torch.tensor([0.25, 0.75]), 0.6), torch.tensor([0.25, 0.75])
    for step, new in enumerate(torch.rand(30, 2)):
        expected = expected + (1 - ema_decay(step, 0.6)) * (new - expected)
        torch.testing.assert_close(average(new), expected)


def test_the_start_is_copied_and_soon_forgotten() -> None:
    start = torch.zeros(())
    average = Average(start, 0.999)
    for _ in range(300):
        average(torch.ones(()))
    assert start == 0
    assert average.value > 0.999


@pytest.mark.parametrize("decay", [0.0, 0.25, 1.0])
def test_weights_move_and_buffers_are_copied(decay: float) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = deepcopy(model)
    before = deepcopy(average.state_dict())
    follow = follower(average, model)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model(torch.randn(8, 2))
    follow(decay)
    for name, value in average.named_parameters():
        wanted = decay * before[name] + (1 - decay) * model.state_dict()[name]
        torch.testing.assert_close(value.detach(), wanted)
    for name, value in average.named_buffers():
        assert torch.equal(value, model.state_dict()[name])
        assert not torch.equal(value, before[name])
