import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.heads.linear import LinearHeads, UnitHeads, unit_weights


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def heads_and_rows() -> tuple[LinearHeads, Tensor]:
    heads = LinearHeads(unit_weights(6, 3, 4, generator()))
    torch.nn.init.normal_(heads.bias, generator=generator())
    return heads, torch.randn(5, 6, generator=generator())


def test_each_head_is_a_linear_map_of_its_own() -> None:
    heads, rows = heads_and_rows()
    for h, logits in enumerate(heads(rows)):
        torch.testing.assert_close(logits, rows @ heads.weight[:, h] + heads.bias[h])


def test_fit_leaves_the_gradients_that_backpropagation_leaves() -> None:
    heads, rows = heads_and_rows()
    residual = torch.randn(3, 5, 4, generator=generator())
    heads(rows).backward(residual)
    expected = [parameter.grad for parameter in heads.parameters()]
    heads.fit(rows, residual)
    torch.testing.assert_close([parameter.grad for parameter in heads.parameters()], expected)


def test_unit_heads_take_the_cosine_of_unit_rows_with_each_weight() -> None:
    heads, rows = UnitHeads(7 * unit_weights(6, 3, 4, generator())), heads_and_rows()[1]
    rows = F.normalize(rows)
    for h, logits in enumerate(heads(rows)):
        cosines = F.cosine_similarity(rows[:, None], heads.weight[:, h].T[None], dim=2)
        torch.testing.assert_close(logits, cosines)


def test_weights_start_as_about_unit_vectors() -> None:
    norms = unit_weights(2000, 3, 4, generator()).norm(dim=0)
    assert (norms - 1).abs().max() < 0.1
