import pytest
import torch
from torch import Tensor

from spice_cli.ops import augment_draw, randaugment


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(10)
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("policy", ["scan", "fixmatch"])
def test_one_round_is_one_of_the_fourteen_applied_to_each_image_alone(policy: str) -> None:
    assert len(randaugment.OPERATIONS) == len(set(randaugment.OPERATIONS)) == 14
    x = images(200)
    batch = randaugment.rand_augment(
        x, torch.Generator().manual_seed(11), policy=policy, operations=1
    )
    generator = torch.Generator().manual_seed(11)
    which = torch.randint(14, (200,), generator=generator)
    share, sign = torch.rand(200, generator=generator), torch.rand(200, generator=generator)
    assert which.unique().numel() == 14
    for i in range(200):
        name = randaugment.OPERATIONS[which[i]]
        low, high = randaugment.RANGES[policy][which[i]]
        magnitude = low + (high - low) * share[i : i + 1]
        one = x[i : i + 1]
        if name in randaugment.GEOMETRIC:
            signed = torch.where(sign[i] < 0.5, -magnitude, magnitude)
            matrices = randaugment.GEOMETRIC[name](signed, 16, 16)
            one = randaugment.affine(one.float(), matrices, (16, 16), "nearest").to(torch.uint8)
        elif name in randaugment.ENHANCE:
            one = randaugment.ENHANCE[name](one, magnitude)
        elif name in randaugment.PLAIN:
            one = randaugment.PLAIN[name](one)
        assert torch.equal(batch[i], one[0]), name


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


def test_no_operations_change_nothing_and_the_input_is_kept() -> None:
    x = images(40)
    before = x.clone()
    generator = torch.Generator().manual_seed(12)
    out = randaugment.rand_augment(x, generator, policy="scan", operations=0)
    assert torch.equal(out, before)
    randaugment.rand_augment(x, generator, policy="scan", operations=4)
    assert torch.equal(x, before)


def test_selecting_gives_what_computing_the_drawn_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def select(images, drawn, operation, *parameters):
        return torch.where(drawn[:, None, None, None], operation(images, *parameters), images)

    x = images(100)
    drawn = randaugment.rand_augment(
        x, torch.Generator().manual_seed(13), policy="fixmatch", operations=3
    )
    monkeypatch.setattr(randaugment, "where_drawn", select)
    selected = randaugment.rand_augment(
        x, torch.Generator().manual_seed(13), policy="fixmatch", operations=3
    )
    assert torch.equal(drawn, selected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cutout_is_one_clipped_square_a_slow_loop_agrees(dtype: torch.dtype) -> None:
    x = torch.full((60, 3, 16, 20), 9, dtype=dtype)
    sides = torch.arange(60) % 12 + 0.5
    fill = (1.0, 2.0, 200.0)
    out = randaugment.cutout(x.clone(), torch.Generator().manual_seed(14), sides, fill)
    generator = torch.Generator().manual_seed(14)
    row = augment_draw.uniform(60, 0, 16, generator).int().tolist()
    column = augment_draw.uniform(60, 0, 20, generator).int().tolist()
    for i in range(60):
        reach = int(sides[i]) // 2
        expected = x[i].clone()
        for r in range(16):
            for c in range(20):
                inside = abs(r - row[i] + 0.5) < reach and abs(c - column[i] + 0.5) < reach
                if inside:
                    expected[:, r, c] = torch.tensor(fill)
        assert torch.equal(out[i], expected)
