import math

import pytest
import torch
from torch import Tensor

from spice_cli.heads.labelling import outer_loss, residual, standardised, task_labels


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def slow(labels: Tensor, logits: list[Tensor], gamma: float) -> Tensor:
    """Compute sum_s 1/n sum_i sum_c -t log q_s + gamma sum_c m log m, one number at a time."""
    heads, n, clusters = labels.shape
    losses = []
    for h in range(heads):
        total = torch.zeros((), dtype=labels.dtype)
        for space in logits:
            for i in range(n):
                scale = sum(space[h, i, c].exp() for c in range(clusters))
                for c in range(clusters):
                    total = total - labels[h, i, c] * (space[h, i, c].exp() / scale).log() / n
        for c in range(clusters):
            mean = sum(labels[h, i, c] for i in range(n)) / n
            total = total + gamma * mean * mean.log()
        losses.append(total)
    return torch.stack(losses)


def test_loss_and_gradient_equal_a_loop_over_spaces_images_and_clusters() -> None:
    maps, logits = normal(2, 3, 5, 4), [normal(3, 5, 4, seed=i) for i in (1, 2)]
    found = []
    for function in (outer_loss, slow):
        given = maps.clone().requires_grad_()
        losses = function(task_labels([*given]), logits, 10.0)
        (losses * torch.arange(1.0, 4.0)).sum().backward()
        found.append((losses.detach(), given.grad))
    torch.testing.assert_close(*found)


def test_residual_is_the_gradient_of_the_mean_cross_entropy_with_soft_labels() -> None:
    labels, logits = normal(3, 5, 4).softmax(-1), normal(3, 5, 4, seed=1).requires_grad_()
    sum(
        torch.nn.functional.cross_entropy(own, target)
        for own, target in zip(logits, labels, strict=True)
    ).backward()
    torch.testing.assert_close(residual(logits.detach(), labels), logits.grad)


def test_labels_are_the_mean_of_the_spaces_probabilities() -> None:
    one, two = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    expected = (one.softmax(-1) + two.softmax(-1)) / 2
    torch.testing.assert_close(task_labels([one, two]), expected)


def test_sure_even_labels_that_are_predicted_reach_the_least_loss() -> None:
    labels = torch.eye(4)[None].repeat(1, 3, 1)
    assert outer_loss(labels, [50 * labels], 10.0).item() == pytest.approx(-10 * math.log(4))
    one = torch.eye(4)[:1].repeat(12, 1)[None]
    assert outer_loss(one, [50 * one], 10.0).item() == pytest.approx(0, abs=1e-6)


def test_standardised_training_rows_have_mean_0_and_mean_square_1() -> None:
    rows = 7 + 3 * normal(9, 5)
    found = standardised(rows, 6)
    torch.testing.assert_close(found[:6].mean(0), torch.zeros(5, dtype=torch.float64))
    assert found[:6].square().sum(1).mean().item() == pytest.approx(1)
    torch.testing.assert_close(
        (found[8] - found[0]) / (found[7] - found[0]), (rows[8] - rows[0]) / (rows[7] - rows[0])
    )


def test_a_space_without_differences_is_all_zeros_and_not_nan() -> None:
    assert standardised(torch.ones(4, 3), 4).abs().sum() == 0
