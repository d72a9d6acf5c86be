"""A checkpoint of dealt heads holds them all, moments too, along their own axes."""

import torch
from torch import Tensor

from spice_cli.heads.deal import ALL, Deal
from spice_cli.heads.linear import LinearHeads
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
