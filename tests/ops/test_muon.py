import pytest
import torch
from torch import nn

from spice_cli.ops.muon import Muon, muon, orthogonalise


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_an_orthogonalised_matrix_keeps_its_singular_vectors_and_loses_its_values() -> None:
    for shape in [(16, 40), (40, 16)]:
        matrices = torch.randn(3, *shape, generator=generator())
        for matrix, found in zip(matrices, orthogonalise(matrices).float(), strict=True):
            u, _, v = torch.linalg.svd(matrix, full_matrices=False)
            values = torch.diagonal(u.T @ found @ v.T)
            assert values.min() > 0.5
            assert values.max() < 1.3
            assert torch.allclose(u @ torch.diag(values) @ v, found, atol=0.05)


def slow(gradient: torch.Tensor) -> torch.Tensor:
    """The iteration as its author wrote it, on one matrix, exactly."""
    x = gradient.double()
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(8, 3, 2, 2), (40, 4, 3, 3), (20, 6, 1, 1), (12, 5), (5, 12)])
def test_steps_follow_the_formula_for_each_parameter_of_a_shape(shape, memory_format) -> None:
    starts = torch.randn(3, *shape, generator=generator())
    first, second = torch.randn(2, 3, *shape, generator=generator().manual_seed(1))
    four = len(shape) == 4
    weights = [
        nn.Parameter(start.clone(memory_format=memory_format if four else torch.preserve_format))
        for start in starts
    ]
    odd = nn.Parameter(torch.randn(7, 9, generator=generator()))
    optimizer = Muon([weights[0], odd, *weights[1:]], lr=0.1, momentum=0.5, weight_decay=0.2)
    for gradients in (first, second):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()
    assert not optimizer.state[odd]
    for weight, start, *gradients in zip(weights, starts, first, second, strict=True):
        expected, buffer = start.flatten(1), 0.0
        rows, columns = expected.shape
        for gradient in gradients:
            buffer = 0.5 * buffer + gradient.flatten(1)
            update = slow(gradient.flatten(1) + 0.5 * buffer)
            scale = max(1, rows / columns) ** 0.5
            expected = expected * (1 - 0.1 * 0.2) - 0.1 * scale * update
        found, start = weight.detach().flatten(1), start.flatten(1)
        error = (found - expected).norm() / (expected - start).norm()
        assert error < 0.05  # it is bf16, iterated
        assert optimizer.state[weight].keys() == {"momentum_buffer"}
        assert weight.is_contiguous(
            memory_format=memory_format if four else torch.contiguous_format
        )


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
