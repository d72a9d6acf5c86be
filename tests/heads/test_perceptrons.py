import torch
import torch.nn.functional as F

from spice_cli.heads.perceptrons import Heads


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_each_head_is_a_two_layer_perceptron_of_its_own() -> None:
    heads = Heads(4, 16, 8, 3, generator())
    x = torch.randn(5, 16, generator=generator())
    for h, logits in enumerate(heads(x)):
        hidden = F.relu(F.linear(x * 4.0, heads.weight1[h].T, heads.bias1[h, 0]))
        assert torch.allclose(
            logits, F.linear(hidden, heads.weight2[h].T, heads.bias2[h, 0]), atol=1e-5
        )


def test_heads_may_each_have_features_of_their_own() -> None:
    heads = Heads(2, 16, 8, 3, generator())
    x = torch.randn(2, 5, 16, generator=generator())
    assert torch.allclose(heads(x)[1], heads(x[1])[1], atol=1e-6)


def test_a_head_has_as_many_parameters_as_the_reference() -> None:
    heads = Heads(1, 512, 512, 10, generator())
    assert sum(p.numel() for p in heads.parameters()) == 267_786


def test_bfloat16_products_are_close_and_come_back_as_float32() -> None:
    exact = Heads(4, 64, 32, 3, generator())
    rough = Heads(4, 64, 32, 3, generator(), torch.bfloat16)
    x = F.normalize(torch.randn(50, 64, generator=generator()))
    assert rough(x).dtype == torch.float32
    assert torch.allclose(rough(x), exact(x), atol=0.02)
    rough(x).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in rough.parameters())


def test_folded_heads_read_rows_where_they_read_mapped_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    heads = Heads(3, 5, 4, 2, generator)
    x, mean = torch.randn(7, 5, generator=generator), torch.randn(5, generator=generator)
    matrix = torch.randn(5, 5, generator=generator)
    expected = heads((x - mean) @ matrix)
    heads.fold(mean, matrix)
    torch.testing.assert_close(heads(x), expected, rtol=1e-4, atol=1e-4)
