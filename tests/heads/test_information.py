import math

import pytest
import torch
from torch import Tensor

from spice_cli.heads.information import pair_weights, pointwise_mutual_information, temi_loss


def logs(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).log_softmax(-1)


def slow(student: Tensor, teacher: Tensor, share: Tensor, beta: float) -> Tensor:
    """Compute -1/n sum of w(x, y) (pmi(x, y) + pmi(y, x)) / 2, a pair and cluster at a time."""
    _, heads, n, clusters = student.shape
    s, t, q = student.exp(), teacher.exp(), share.exp()
    losses = []
    for h in range(heads):
        total = torch.zeros((), dtype=student.dtype)
        for i in range(n):
            weight = sum(
                t[0, g, i, c] * t[1, g, i, c] for g in range(heads) for c in range(clusters)
            )
            pmi = [
                torch.log(
                    sum((s[a, h, i, c] * t[b, h, i, c]) ** beta / q[h, c] for c in range(clusters))
                )
                for a, b in ((0, 1), (1, 0))
            ]
            total = total - weight / heads * (pmi[0] + pmi[1]) / 2
        losses.append(total / n)
    return torch.stack(losses)


@pytest.mark.parametrize("beta", [0.6, 1.0])
def test_loss_and_gradient_equal_a_loop_over_pairs_and_clusters(beta: float) -> None:
    student, teacher, share = logs(2, 3, 5, 4), logs(2, 3, 5, 4, seed=1), logs(3, 4, seed=2)
    gradients = []
    for function in (temi_loss, slow):
        given = student.clone().requires_grad_()
        losses = function(given, teacher, share, beta)
        (losses * torch.arange(1.0, 4.0)).sum().backward()
        gradients.append((losses.detach(), given.grad))
    torch.testing.assert_close(*gradients)


def test_no_gradient_reaches_the_teacher_or_its_mean() -> None:
    student, teacher, share = (logs(2, 3, 5, 4, seed=i).requires_grad_() for i in range(3))
    temi_loss(student, teacher, share[0, :, 0], 0.6).sum().backward()
    assert student.grad is not None
    assert teacher.grad is None
    assert share.grad is None


def test_sure_heads_that_use_k_clusters_evenly_know_ln_k_and_collapsed_ones_nothing() -> None:
    sure = torch.full((8,), -1e9).index_fill(0, torch.tensor(3), 0.0)
    even = torch.full((8,), -math.log(8))
    assert pointwise_mutual_information(sure, sure, even, 0.6) == pytest.approx(math.log(8))
    assert pointwise_mutual_information(sure, sure, sure, 0.6) == pytest.approx(0)
    unsure = pointwise_mutual_information(even, even, even, 1.0)
    assert unsure == pytest.approx(0, abs=1e-6)


def test_a_pair_weighs_1_where_all_heads_are_sure_and_agree_and_1_over_k_where_none_knows() -> None:
    sure = torch.full((2, 3, 1, 4), -1e9)
    sure[..., 1] = 0
    assert pair_weights(sure).tolist() == [1]
    assert pair_weights(torch.full((2, 3, 1, 4), -math.log(4))).tolist() == pytest.approx([0.25])
