"""Heads dealt to several processes, which are threads here, are what one process trains."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.deal import ALL, Deal
from spice_cli.heads.linear import LinearHeads
from spice_cli.heads.scan import Scan
from spice_cli.heads.scan_config import ScanConfig
from spice_cli.heads.source import Facts, plain_source
from spice_cli.heads.spice import Spice
from spice_cli.heads.spice_config import SpiceConfig
from spice_cli.heads.temi import Temi
from spice_cli.heads.temi_config import TemiConfig
from spice_cli.heads.turtle import Turtle
from spice_cli.heads.turtle_config import TurtleConfig

Together = Callable[..., list[Any]]
Dealt = Callable[[int, int, Callable[[Deal], Any]], list[Any]]


@pytest.fixture
def dealt(together: Together) -> Dealt:
    """Call `work` once a process, each with its own share."""

    def processes(heads: int, world: int, work: Callable[[Deal], Any]) -> list[Any]:
        return together(world, lambda rank, gather: work(Deal(heads, rank, world, gather)))

    return processes


def blobs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = 2 * torch.randn(4, 16, generator=generator)
    return F.normalize(centers.repeat(60, 1) + torch.randn(240, 16, generator=generator))


@pytest.mark.parametrize(("heads", "world"), [(10, 1), (10, 2), (5, 4), (2, 5), (1, 3)])
def test_what_all_have_is_put_together_in_order(dealt: Dealt, heads: int, world: int) -> None:
    whole = torch.randn(3, heads, 2)

    def work(deal: Deal) -> tuple[int, Tensor]:
        own = deal.own(whole, 1)
        return own.shape[1], deal.whole(own, 1)

    for count, found in dealt(heads, world, work):
        assert count == -(-heads // world)
        assert torch.equal(found, whole)


def test_a_module_is_dealt_out_and_put_together_along_its_own_axes(dealt: Dealt) -> None:
    weight = torch.randn(3, 3, 3)

    def work(deal: Deal) -> tuple[Tensor, nn.Module]:
        module = deal.keep(LinearHeads(weight.clone()))
        kept = module.weight.detach().clone()
        return kept, deal.joined(module)

    (first, one), (second, other) = dealt(3, 2, work)
    assert torch.equal(first, weight[:, :2])
    assert torch.equal(second, weight[:, [2, 2]])
    for joined in (one, other):
        assert torch.equal(joined.weight, weight)
        assert joined.bias.shape == (3, 3)


METHODS: dict[str, tuple[Any, Any, float]] = {
    "spice": (Spice, SpiceConfig(passes=2), 0.01),
    "spice, uneven": (Spice, SpiceConfig(passes=1, balance="none", entropy=1), 0.01),
    "spice, whitened": (Spice, SpiceConfig(passes=1, whiten=0.1, loss="plain"), 0.01),
    "scan": (Scan, ScanConfig(backbone="frozen"), 1.0),
    "temi": (Temi, TemiConfig(), 0.01),
    "temi, perceptrons": (Temi, TemiConfig(hidden=8), 0.01),
    "turtle": (Turtle, TurtleConfig(), 0.01),
    "turtle, cold": (Turtle, TurtleConfig(warm=False), 0.01),
}


def trained(name: str, heads: int, deal: Deal) -> tuple[list[Any], Any, int]:
    """Return the log, the result, and how many heads were trained here."""
    kind, own, rate = METHODS[name]
    config = SelfLabel(heads=heads, epochs=8, batch_size=48, lr=rate)
    source = plain_source(blobs(), 4, deal=deal)
    method = kind(source, config, own, torch.Generator().manual_seed(1))
    log = [
        method.epoch(number, torch.Generator().manual_seed(number), lambda images: None)
        for number in range(1, 9)
    ]
    own = next(each.losses for each in method.parts.values() if hasattr(each, "losses"))
    return log, method.result(), len(own)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("heads", "world"), [(5, 2), (2, 3)])
def test_heads_dealt_out_are_those_that_one_process_trains(
    dealt: Dealt, name: str, heads: int, world: int
) -> None:
    log, result, _ = trained(name, heads, ALL)
    for own_log, own, count in dealt(heads, world, lambda deal: trained(name, heads, deal)):
        assert count == -(-heads // world)
        assert [line["head"] for line in own_log] == [line["head"] for line in log]
        for line, expected in zip(own_log, log, strict=True):
            assert line == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(own.losses, result.losses, atol=1e-5, rtol=0)
        assert own.state.keys() == result.state.keys()
        for key in result.state:
            torch.testing.assert_close(own.state[key], result.state[key], atol=1e-4, rtol=1e-3)
        assert torch.equal(own.probs.argmax(1), result.probs.argmax(1))


def test_some_methods_deal_their_heads_and_only_where_no_backbone_learns() -> None:
    facts = Facts(images=6000, clusters=4, features=16, side=32)
    assert Spice.wants(SpiceConfig(), facts).dealt
    assert Scan.wants(ScanConfig(backbone="frozen"), facts).dealt
    assert not Scan.wants(ScanConfig(backbone="train"), facts).dealt
    assert not Scan.wants(ScanConfig(backbone="frozen", self_label=True), facts).dealt
    assert Temi.wants(TemiConfig(), facts).dealt
    assert Turtle.wants(TurtleConfig(), facts).dealt
