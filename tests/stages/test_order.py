import json

import pytest
import torch

from spice_cli.ops.shuffle import shuffled, window_of
from spice_cli.stages.group import ALONE, Group
from spice_cli.stages.order import Order

IMAGES = torch.zeros(50, 3, 4, 4, dtype=torch.uint8)


class Second(Group):
    """A process that the first one tells of its own window."""

    def told(self, text: str) -> str:
        return json.dumps([20, 5])


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_images_are_shuffled_within_the_window_that_there_is_memory_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spice_cli.stages.order.memory", lambda: 2000)
    window, block = window_of(IMAGES, 2000)
    expected = shuffled(50, seeded(), window=window, block=block)[:30]
    assert torch.equal(Order(IMAGES, ALONE)(30, None, seeded()), expected)


def test_every_process_has_the_window_of_the_first() -> None:
    order = Order(IMAGES, Second(rank=1, world=2))
    expected = shuffled(50, seeded(), window=20, block=5)
    assert torch.equal(order(50, None, seeded()), expected)


def test_who_goes_on_has_the_window_of_who_began() -> None:
    began, on = Order(IMAGES, Second(rank=1, world=2)), Order(IMAGES, ALONE)
    on.load_state_dict(began.state_dict())
    assert torch.equal(on(50, None, seeded()), began(50, None, seeded()))


def test_weights_decide_where_there_are_some() -> None:
    weights = torch.zeros(50)
    weights[3] = 1
    assert Order(IMAGES, ALONE)(9, weights, seeded()).tolist() == [3] * 9
