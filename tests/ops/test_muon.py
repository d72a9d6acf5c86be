import torch
from torch import nn

from spice_cli.ops.muon import Muon, muon, orthogonalise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_an_orthogonalised_matrix_keeps_its_singular_vectors_and_loses_its_values() -> None:
    for shape in [(16, 40), (40, 16)]:
        matrix = torch.randn(shape, generator=generator())
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        values = torch.diagonal(u.T @ orthogonalise(matrix) @ v.T)
        assert values.min() > 0.5
        assert values.max() < 1.3
        assert torch.allclose(u @ torch.diag(values) @ v, orthogonalise(matrix), atol=0.05)


def test_a_step_follows_the_formula() -> None:
    weight = nn.Parameter(torch.randn(8, 3, 2, 2, generator=generator()))
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.1, momentum=0.5, weight_decay=0.2)
    first, second = torch.randn(2, 8, 3, 2, 2, generator=generator())
    weight.grad = first
    optimizer.step()
    weight.grad = second
    optimizer.step()
    buffer, expected = torch.zeros(8, 12), before.view(8, 12)
    for gradient in (first.view(8, 12), second.view(8, 12)):
        buffer = 0.5 * buffer + gradient
        expected = expected * (1 - 0.1 * 0.2)
        expected = expected - 0.1 * orthogonalise(gradient + 0.5 * buffer)
    assert torch.allclose(weight.detach().view(8, 12), expected, atol=1e-5)


def test_every_parameter_has_one_optimizer_and_pixels_and_vectors_have_adam() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip
    matrices, rest = (
        {id(p) for group in each.param_groups for p in group["params"]}
        for each in muon(model, lr=0.02, momentum=0.9, weight_decay=0.0, adam_lr=0.003)
    )
    assert matrices == {id(model[2].weight), id(model[4].weight)}
    assert matrices | rest == {id(p) for p in model.parameters()}
    assert not matrices & rest
