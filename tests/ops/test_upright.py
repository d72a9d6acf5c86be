import torch
from torch import Tensor

from spice_cli.ops.upright import halves, orientation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copies(n: int = 300, side: int = 6) -> Tensor:
    """Images that are brighter above, (4, n, 1, side, side), each turned four times."""
    sky = torch.linspace(1, 0, side)[:, None].expand(side, side)
    images = sky + 0.3 * torch.rand(n, 1, side, side, generator=generator())
    return torch.stack([torch.rot90(images, turn, (2, 3)) for turn in range(4)])


def planted(x: Tensor, turns: Tensor) -> Tensor:
    rows = torch.arange(x.shape[1])
    return torch.stack([x[(turn + turns) % 4, rows] for turn in range(4)]).flatten(2)


def test_planted_turns_are_found_and_hardly_another_image_is_named() -> None:
    turns = torch.zeros(300, dtype=torch.int64)
    turns[torch.randperm(300, generator=generator(1))[:15]] = torch.arange(15) % 3 + 1
    found = orientation(planted(copies(), turns), generator())
    said = found.degrees > 0
    assert found.told
    assert bool((found.degrees[said] == 90 * turns[said]).all())
    assert int((said & (turns > 0)).sum()) >= 3


def test_of_upright_images_none_is_named() -> None:
    found = orientation(copies().flatten(2), generator())
    assert found.told
    assert not found.degrees.any()


def test_images_turned_at_random_say_nothing() -> None:
    turns = torch.randint(0, 4, (300,), generator=generator(2))
    found = orientation(planted(copies(), turns), generator())
    assert not found.told
    assert not found.degrees.any()


def test_images_that_look_the_same_from_every_side_say_nothing() -> None:
    same = torch.rand(300, 8, generator=generator()).expand(4, -1, -1)
    found = orientation(same, generator())
    assert not found.told
    assert not found.degrees.any()


def test_of_few_images_nothing_is_said() -> None:
    assert not orientation(copies(20).flatten(2), generator()).told


def test_halves_tell_above_from_below_and_left_from_right() -> None:
    x = torch.rand(2, 4, 3, 3, generator=generator())
    mean, down, across = halves(x).chunk(3, dim=1)
    over = halves(torch.rot90(x, 2, (2, 3))).chunk(3, dim=1)
    for ours, theirs, sign in zip((mean, down, across), over, (1, -1, -1), strict=True):
        assert torch.allclose(ours, sign * theirs, atol=1e-6)
    assert torch.allclose(mean.norm(dim=1), torch.ones(2))
    assert halves(x[..., :1, :1]).shape == (2, 12)
