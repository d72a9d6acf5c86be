import torch
from torch import Tensor

from spice_cli.ops import augment_draw as draw


def images(n: int) -> Tensor:
    return torch.rand(n, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def kinds(*shape: int) -> Tensor:
    return torch.randint(5, shape, generator=torch.Generator().manual_seed(1))


def test_an_operation_changes_the_drawn_images_with_their_own_parameters() -> None:
    x, amount = images(50), torch.arange(50.0)
    for drawn in (kinds(50) == 1, torch.ones(50) > 0, torch.zeros(50) > 0):
        out = draw.where_drawn(x.clone(), drawn, lambda x, a: x + draw.pixelwise(a), amount)
        assert torch.equal(out[drawn], (x + draw.pixelwise(amount))[drawn])
        assert torch.equal(out[~drawn], x[~drawn])


def test_rounds_of_operations_by_kind_are_a_slow_loop_over_images() -> None:
    x, kind = images(60), kinds(3, 60)
    amount = torch.rand(3, 60, generator=torch.Generator().manual_seed(2))
    operations = (lambda x, a: x * draw.pixelwise(a), lambda x, a: x + 1, lambda x, a: x.square())
    out = draw.by_kind(x.clone(), kind, operations, amount)
    for i in range(60):
        one = x[i : i + 1]
        for own, a in zip(kind[:, i], amount[:, i : i + 1], strict=True):
            one = operations[own](one, a) if own < 3 else one
        assert torch.equal(out[i], one[0])


def test_a_slice_of_images_is_changed_with_its_own_parameters() -> None:
    x, amount = images(50), torch.arange(50.0)
    for group in (slice(10, 20), slice(0, 50), slice(50, 50)):
        for operation in (
            lambda x, a: x + draw.pixelwise(a),
            lambda x, a: x.add_(draw.pixelwise(a)),
        ):
            out = draw.where_drawn(x.clone(), group, operation, amount)
            expected = x.clone()
            expected[group] += draw.pixelwise(amount[group])
            assert torch.equal(out, expected)


def test_blocks_are_bounded_and_say_which_rows_are_of_which_kind(monkeypatch) -> None:
    monkeypatch.setattr(draw, "BLOCK", 7 * 3 * 4 * 5)
    x, kind = images(100), kinds(100)
    seen = []

    def operation(groups: list[slice], images: Tensor, own: Tensor) -> Tensor:
        seen.append(len(images))
        assert len(groups) == 6 and len(own[groups[5]]) == 0
        assert torch.equal(own[draw.all_but(groups[5])], own)
        for k, group in enumerate(groups):
            assert (own[group] == k).all()
        assert sum(len(own[group]) for group in groups) == len(own)
        return images * draw.pixelwise(own)

    assert torch.equal(draw.in_blocks(operation, kind, 6, x, kind), x * draw.pixelwise(kind))
    assert max(seen) == 7 and sum(seen) == 100


def test_a_constant_is_made_once() -> None:
    values, device = ((1.0, 2.0), (3.0, 4.0)), torch.device("cpu")
    assert draw.constant(values, device) is draw.constant(values, device)
    assert torch.equal(draw.constant(values, device), torch.tensor(values))
