"""Batch norms of every kind, shared by processes that are threads here."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.errors import UsageError
from spice_cli.models import shared_batch_norm
from spice_cli.models.shared_batch_norm import share_batch_norm
from spice_cli.models.split_batch_norm import SplitBatchNorm2d, split_batch_norm

Together = Callable[..., list[Any]]
WORLD = 2


class Active(nn.BatchNorm2d):
    """A batch norm with an activation inside."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(super().forward(x))


class Own(nn.BatchNorm2d):
    """A batch norm that normalises by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((0, 2, 3), keepdim=True)


class Foreign(nn.Module):
    """A layer of no known kind that collects statistics of batches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_var", torch.ones(channels))


def of_timm(channels: int) -> nn.Module:
    layers = pytest.importorskip("timm.layers")
    layer: nn.Module = layers.BatchNormAct2d(channels, act_layer=nn.Hardswish, inplace=False)
    return layer


KINDS: dict[str, Callable[[int], nn.Module]] = {
    "plain": nn.BatchNorm2d,
    "subclass": Active,
    "timm": of_timm,
    "of vectors": nn.BatchNorm1d,
    "not affine": lambda channels: nn.BatchNorm2d(channels, affine=False),
    "without statistics": lambda channels: nn.BatchNorm2d(channels, track_running_stats=False),
    "cumulative": lambda channels: nn.BatchNorm2d(channels, momentum=None),
}


def filled(layer: nn.Module) -> nn.Module:
    """Give a layer weights and statistics that are not those it starts with."""
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 2, generator=g)
            elif name.endswith("tracked"):
                tensor.fill_(4)
    return layer


def images(kind: str) -> Tensor:
    shape = (8, 5) if kind == "of vectors" else (8, 5, 3, 3)
    return 2 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def shared(
    together: Together, monkeypatch: pytest.MonkeyPatch, layer: nn.Module, x: Tensor, parts: int = 1
) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Return of each process its layer, output and gradient of its rows of x."""

    def process(rank: int, gather: Callable[[Tensor], Tensor]) -> tuple[nn.Module, Tensor, Tensor]:
        exchange[rank] = gather
        net = nn.Sequential(deepcopy(layer))
        share_batch_norm(net, WORLD, lambda parts: rank)  # type: ignore[arg-type, return-value]
        net = deepcopy(net)
        own = x.chunk(WORLD)[rank].clone().requires_grad_()
        out = net(own)
        (out * torch.linspace(-1, 1, x.numel()).view(x.shape).chunk(WORLD)[rank]).sum().backward()
        assert own.grad is not None
        return net[0], out.detach(), own.grad

    exchange: dict[int, Callable[[Tensor], Tensor]] = {}

    def add(tensors: list[Tensor], group: int) -> None:
        for tensor in tensors:
            tensor.copy_(exchange[group](tensor[None]).sum(0))

    monkeypatch.setattr(shared_batch_norm, "get_world_size", lambda group: WORLD)
    monkeypatch.setattr(
        shared_batch_norm, "gathered", lambda rows, size, group: exchange[group](rows)
    )
    monkeypatch.setattr(shared_batch_norm, "summed", add)
    return together(WORLD, process)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_that_is_shared_is_normalised_as_the_whole(
    together: Together, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    layer, x = filled(KINDS[kind](5)), images(kind)
    found = shared(together, monkeypatch, layer, x)
    whole = x.clone().requires_grad_()
    expected = layer(whole)
    (expected * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum().backward()
    torch.testing.assert_close(torch.cat([out for _, out, _ in found]), expected)
    torch.testing.assert_close(torch.cat([gradient for _, _, gradient in found]), whole.grad)
    for own, _, _ in found:
        torch.testing.assert_close(own.state_dict(), layer.state_dict())
    gradients = [[p.grad for p in own.parameters()] for own, _, _ in found]
    for parameter, *each in zip(layer.parameters(), *gradients, strict=True):
        torch.testing.assert_close(torch.stack(each).sum(0), parameter.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_in_eval_a_layer_is_what_it_was(kind: str) -> None:
    layer, x = filled(KINDS[kind](5)).eval(), images(kind)
    if kind == "without statistics":
        return
    net = nn.Sequential(deepcopy(layer))
    share_batch_norm(net, WORLD, lambda parts: None)
    assert torch.equal(net(x), layer(x))
    assert net.state_dict().keys() == nn.Sequential(layer).state_dict().keys()


def test_the_parts_of_a_split_one_are_dealt_out(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = filled(SplitBatchNorm2d(5, 4)), images("plain")
    found = shared(together, monkeypatch, layer, x)
    torch.testing.assert_close(torch.cat([out for _, out, _ in found]), layer(x))
    assert {own.splits for own, _, _ in found} == {2}


def test_one_part_that_several_hold_is_shared_among_them(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = filled(SplitBatchNorm2d(5, 1)), images("plain")
    found = shared(together, monkeypatch, layer, x)
    torch.testing.assert_close(torch.cat([out for _, out, _ in found]), layer(x))


def test_parts_that_cannot_be_dealt_out_evenly_are_refused() -> None:
    with pytest.raises(UsageError, match="3 parts .* to 2 processes evenly") as caught:
        share_batch_norm(nn.Sequential(SplitBatchNorm2d(5, 3)), 2, lambda parts: None)
    assert "splits=2" in caught.value.hint


def test_what_collects_statistics_in_an_unknown_way_is_refused_in_training_alone() -> None:
    net = nn.Sequential(Foreign(5), nn.InstanceNorm2d(5, affine=True, track_running_stats=True))
    share_batch_norm(net.eval(), 2, lambda parts: None)
    with pytest.raises(UsageError, match="`Foreign`"):
        share_batch_norm(net.train(), 2, lambda parts: None)


def test_a_layer_that_normalises_by_itself_is_refused_when_it_trains() -> None:
    net = nn.Sequential(Own(5))
    share_batch_norm(net, 2, lambda parts: None)
    assert net.eval()(images("plain")).shape == (8, 5, 3, 3)
    with pytest.raises(UsageError, match="`Own`"):
        net.train()(images("plain"))


def test_a_subclass_is_not_left_out_when_batch_norms_are_split() -> None:
    with pytest.raises(ValueError, match="`Active`"):
        split_batch_norm(nn.Sequential(Active(5)), 2)
