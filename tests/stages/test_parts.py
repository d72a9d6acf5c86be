"""A checkpoint of dealt heads holds them all, moments too, along their own axes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.deal import ALL, Deal
from spice_cli.heads.linear import LinearHeads
from spice_cli.heads.source import plain_source
from spice_cli.heads.temi import Temi
from spice_cli.heads.temi_config import TemiConfig
from spice_cli.heads.turtle import Turtle
from spice_cli.heads.turtle_config import TurtleConfig
from spice_cli.stages.parts import Parts, pack, unpack

WEIGHT = torch.arange(27.0).view(3, 3, 3)


def alone() -> Parts:
    """All three heads after one step, in which each weight's gradient is the weight itself."""
    heads = LinearHeads(WEIGHT.clone())
    return stepped(heads)


def stepped(heads: LinearHeads) -> Parts:
    optimizer = torch.optim.Adam(heads.parameters(), fused=True)
    heads.weight.grad, heads.bias.grad = heads.weight.detach().clone(), heads.bias.detach().clone()
    optimizer.step()
    return {"heads": heads, "optimizer": optimizer}


def test_what_processes_pack_together_is_what_one_packs() -> None:
    expected, held = pack(alone(), ALL), iter(list[Tensor]())

    def gather(rows: Tensor) -> Tensor:
        return torch.cat([rows, next(held)])

    first, second = Deal(3, 0, 2, gather), Deal(3, 1, 2, lambda rows: rows)
    others = pack(stepped(second.keep(LinearHeads(WEIGHT.clone()))), ALL)
    mine = stepped(first.keep(LinearHeads(WEIGHT.clone())))
    held = iter(
        [each.movedim(1 if each.dim() == 3 else 0, 0) for each in others.values() if each.dim()]
    )
    found = pack(mine, first)
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name])


def test_each_process_goes_on_with_its_own_heads_of_what_one_packed() -> None:
    tensors = pack(alone(), ALL)
    deal = Deal(3, 1, 2)
    expected = pack(stepped(deal.keep(LinearHeads(WEIGHT.clone()))), ALL)
    heads = deal.keep(LinearHeads(torch.zeros(3, 3, 3)))
    parts: Parts = {"heads": heads, "optimizer": torch.optim.Adam(heads.parameters(), fused=True)}
    unpack(parts, tensors, deal)
    found = pack(parts, ALL)
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name])


ROWS = F.normalize(torch.randn(60, 8, generator=torch.Generator().manual_seed(0)))


def made(kind: Any, own: Any, deal: Deal) -> Any:
    config = SelfLabel(heads=5, batch_size=32, lr=0.01)
    source = plain_source(ROWS, 3, deal=deal)
    return kind(source, config, own, torch.Generator().manual_seed(1))


def epoch(method: Any, number: int) -> Any:
    return method.epoch(number, torch.Generator().manual_seed(number), lambda images: None)["loss"]


@pytest.mark.parametrize(
    ("kind", "own"),
    [(Temi, TemiConfig()), (Temi, TemiConfig(hidden=4)), (Turtle, TurtleConfig(warm=False))],
)
def test_processes_go_on_from_what_one_packed_as_it_does_itself(
    together: Callable[..., list[Any]], kind: Any, own: Any
) -> None:
    alone = made(kind, own, ALL)
    epoch(alone, 1)
    packed = {name: tensor.clone() for name, tensor in pack(alone.parts, ALL).items()}
    expected = epoch(alone, 2)

    def process(rank: int, gather: Callable[[Tensor], Tensor]) -> tuple[dict[str, Tensor], float]:
        deal = Deal(5, rank, 2, gather)
        method = made(kind, own, deal)
        unpack(method.parts, packed, deal)
        again = {name: tensor.clone() for name, tensor in pack(method.parts, deal).items()}
        return again, epoch(method, 2)

    for again, loss in together(2, process):
        assert again.keys() == packed.keys()
        assert all(torch.equal(again[name], packed[name]) for name in packed)
        assert loss == pytest.approx(expected, abs=1e-5)
