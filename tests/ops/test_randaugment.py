import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from spice_cli.ops import augment_draw, geometry, randaugment

SIDE = 16
SETTINGS = {"policy": "fixmatch", "operations": 3}


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(10)
    return torch.randint(0, 256, (n, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(policy: str, operations: int, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `rand_augment` draws from the seed: operations, magnitudes, signs."""
    generator = seeded(seed)
    which = torch.randint(14, (operations, n), generator=generator)
    share = torch.rand(operations, n, generator=generator)
    minus = torch.rand(operations, n, generator=generator) < 0.5
    low, high = torch.tensor(randaugment.RANGES[policy])[which].unbind(2)
    return which, low + (high - low) * share, minus


def turned(image: Tensor, degrees: float, shear: list[float], shift: list[float]) -> Tensor:
    moved = tv.affine(
        image, 0.0, shift, 1.0, [math.degrees(math.atan(s)) for s in shear], center=[0, 0]
    )
    return tv.rotate(moved, degrees) if degrees else moved


ORACLES = {
    "identity": lambda x, m: x,
    "autocontrast": lambda x, m: tv.autocontrast(x),
    "equalize": lambda x, m: tv.equalize(x),
    "solarize": lambda x, m: tv.solarize(x, m),
    "posterize": lambda x, m: tv.posterize(x, int(m)),
    "color": lambda x, m: tv.adjust_saturation(x, m),
    "contrast": lambda x, m: tv.adjust_contrast(x, m),
    "brightness": lambda x, m: tv.adjust_brightness(x, m),
    "sharpness": lambda x, m: tv.adjust_sharpness(x, m),
    "rotate": lambda x, m: tv.rotate(x, m),
    "shear-x": lambda x, m: turned(x, 0.0, [m, 0.0], [0, 0]),
    "shear-y": lambda x, m: turned(x, 0.0, [0.0, m], [0, 0]),
    "translate-x": lambda x, m: turned(x, 0.0, [0.0, 0.0], [m * SIDE, 0]),
    "translate-y": lambda x, m: turned(x, 0.0, [0.0, 0.0], [0, m * SIDE]),
}


@pytest.mark.parametrize("policy", ["scan", "fixmatch"])
def test_one_round_is_one_of_torchvisions_fourteen_on_each_image(policy: str) -> None:
    assert sorted(ORACLES) == sorted(randaugment.OPERATIONS)
    x = images(300)
    batch = randaugment.rand_augment(x, seeded(11), policy=policy, operations=1)
    which, magnitude, minus = (d[0] for d in draws(policy, 1, 300, 11))
    assert which.unique().numel() == 14
    for i in range(300):
        name, m = randaugment.OPERATIONS[which[i]], float(magnitude[i])
        m = -m if name in randaugment.GEOMETRIC and minus[i] else m
        expected = ORACLES[name](x[i], m).float()
        if name in randaugment.GEOMETRIC:
            assert (batch[i] == expected).float().mean() > 0.98, name
        else:
            assert (batch[i] - expected).abs().max() <= 1, name
    assert torch.equal(batch, batch.round()) and batch.min() >= 0 and batch.max() <= 255


def test_colours_change_in_the_order_drawn_after_all_that_moves() -> None:
    x = images(200)
    batch = randaugment.rand_augment(x, seeded(12), **SETTINGS)
    which, magnitude, minus = draws(**SETTINGS, n=200, seed=12)
    for i in range(200):
        one, placed = x[i : i + 1].float(), torch.eye(2, 3)[None]
        names = [randaugment.OPERATIONS[k] for k in which[:, i]]
        for r, name in enumerate(names):
            if name in randaugment.GEOMETRIC:
                m = magnitude[r, i : i + 1] * (-1 if minus[r, i] else 1)
                made = randaugment.GEOMETRIC[name](m, SIDE, SIDE)
                placed = geometry.compose(placed, made)
        one = geometry.affine(one, placed, (SIDE, SIDE), "nearest")
        for r, name in enumerate(names):
            if name in randaugment.COLOR:
                one = randaugment.COLOR[name](one, magnitude[r, i : i + 1])
        assert torch.equal(batch[i], one[0])


def test_ranges_are_those_of_the_references() -> None:
    for policy, shift in (("scan", 0.1), ("fixmatch", 0.3)):
        ranges = dict(zip(randaugment.OPERATIONS, randaugment.RANGES[policy], strict=True))
        assert ranges["rotate"] == (0, 30)
        assert ranges["solarize"] == (0, 256)
        assert ranges["posterize"] == (4, 8)
        for name in ("color", "contrast", "brightness", "sharpness"):
            assert ranges[name] == (0.05, 0.95)
        for name in ("shear-x", "shear-y", "translate-x", "translate-y"):
            assert ranges[name] == (0, shift)


def test_operations_magnitudes_and_signs_are_uniform() -> None:
    black = torch.zeros(8400, 3, SIDE, SIDE, dtype=torch.uint8)
    black[:, :, 8, 8] = 255
    out = randaugment.rand_augment(black, seeded(3), policy="scan", operations=1)
    which, _, minus = (d[0] for d in draws("scan", 1, 8400, 3))
    assert torch.bincount(which, minlength=14).min() > 500
    right = which == randaugment.OPERATIONS.index("translate-x")
    columns = out[right, 0, 8].argmax(1)
    assert abs((columns < 8).float().mean() - (columns > 8).float().mean()) < 0.15
    assert ((columns <= 8) == minus[right])[columns != 8].all()


def test_no_operations_change_nothing_and_the_input_is_kept() -> None:
    x = images(40)
    before = x.clone()
    out = randaugment.rand_augment(x, seeded(12), policy="scan", operations=0)
    assert torch.equal(out, before.float())
    randaugment.rand_augment(x, seeded(12), policy="scan", operations=4)
    assert torch.equal(x, before)


def test_matrices_given_come_before_what_is_drawn() -> None:
    x = images(100)
    down, right = torch.randint(-3, 4, (2, 100), generator=seeded(1))
    placed = geometry.window(down, right, torch.arange(100) % 2 == 0)
    shifted = geometry.affine(x.float(), placed, (SIDE, SIDE), "nearest")
    out = randaugment.rand_augment(x, seeded(2), policy="scan", operations=1, placed=placed)
    expected = randaugment.rand_augment(shifted, seeded(2), policy="scan", operations=1)
    still = draws("scan", 1, 100, 2)[0][0] < len(randaugment.COLOR)
    assert torch.equal(out[still], expected[still])


def test_selecting_gives_what_computing_the_drawn_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def select(images, kinds, operations, amounts):
        for kind, amount in zip(kinds, amounts, strict=True):
            for k, operation in enumerate(operations):
                drawn = augment_draw.pixelwise(kind == k)
                images = torch.where(drawn, operation(images, amount), images)
        return images

    x = images(100)
    drawn = randaugment.rand_augment(x, seeded(13), **SETTINGS)
    monkeypatch.setattr(randaugment, "by_kind", select)
    assert torch.equal(drawn, randaugment.rand_augment(x, seeded(13), **SETTINGS))


def test_cutout_is_one_clipped_square_a_slow_loop_agrees() -> None:
    x = torch.full((60, 3, 16, 20), 9.0)
    sides = torch.arange(60) % 12 + 0.5
    for fill in ((1.0, 2.0, 200.0), (0.0, 0.0, 0.0)):
        out = randaugment.cutout(x.clone(), seeded(14), sides, fill)
        generator = seeded(14)
        row = augment_draw.uniform(60, 0, 16, generator).int().tolist()
        column = augment_draw.uniform(60, 0, 20, generator).int().tolist()
        for i in range(60):
            reach = int(sides[i]) // 2
            expected = x[i].clone()
            for r in range(16):
                for c in range(20):
                    if abs(r - row[i] + 0.5) < reach and abs(c - column[i] + 0.5) < reach:
                        expected[:, r, c] = torch.tensor(fill)
            assert torch.equal(out[i], expected)
