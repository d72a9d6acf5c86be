import math

import pytest
import torch
from torch import Tensor

from spice_cli.semi.freematch import FreeMatch, fairness


def batches(count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    bias = torch.tensor([2.0, 0.0, -1.0, 0.0])
    return [
        tuple(2 * torch.randn(2, 40, 4, generator=generator) + bias)  # type: ignore[misc]
        for _ in range(count)
    ]


def test_thresholds_follow_the_equations_step_by_step() -> None:
    method = FreeMatch(4, FreeMatch.Config(average=0.5, fairness=0.0))
    overall, mean = 1 / 4, [1 / 4] * 4
    for step, (weak, strong) in enumerate(batches(6)):
        loss, guess, sure = method(weak, strong)
        probs, shaken = weak.softmax(1).tolist(), strong.softmax(1).tolist()
        decay = min(0.5, (1 + step) / (10 + step))
        overall = decay * overall + (1 - decay) * sum(map(max, probs)) / 40
        for c in range(4):
            mean[c] = decay * mean[c] + (1 - decay) * sum(row[c] for row in probs) / 40
        taught, kept = 0.0, []
        for row, other in zip(probs, shaken, strict=True):
            label = row.index(max(row))
            kept.append(float(max(row) >= mean[label] / max(mean) * overall))
            taught -= kept[-1] * math.log(other[label])
        assert 0 < sum(kept) < 40
        assert sure.tolist() == kept
        assert guess.tolist() == [row.index(max(row)) for row in probs]
        assert float(loss) == pytest.approx(taught / 40, abs=1e-5)


def slow_fairness(strong: Tensor, sure: Tensor, expected: list[float]) -> float:
    rows = [r for r, s in zip(strong.softmax(1).tolist(), sure.tolist(), strict=True) if s]
    wanted = [value / sum(expected) for value in expected]
    quotient = []
    for c in range(strong.shape[1]):
        members = sum(row.index(max(row)) == c for row in rows) / len(rows)
        mean = sum(row[c] for row in rows) / len(rows)
        quotient.append(mean / members if members else 0.0)
    found = [value / sum(quotient) for value in quotient]
    return sum(w * math.log(f) for w, f in zip(wanted, found, strict=True) if f)


@pytest.mark.parametrize("seed", range(3))
def test_fairness_is_that_of_the_equation(seed: int) -> None:
    _, strong = batches(1, seed)[0]
    sure = (torch.arange(40) % 3 > 0).float()
    expected = torch.tensor([1.0, 0.5, 2.0, 1.5])
    loss = fairness(strong, sure, expected)
    assert float(loss) == pytest.approx(slow_fairness(strong, sure, expected.tolist()), abs=1e-5)


def test_fairness_of_nothing_is_nothing() -> None:
    strong = torch.randn(5, 4, requires_grad=True)
    loss = fairness(strong, torch.zeros(5), torch.ones(4))
    loss.backward()
    assert loss == 0
    assert strong.grad is not None
    assert strong.grad.abs().sum() == 0


def test_the_loss_holds_fairness_at_its_weight() -> None:
    weak, strong = batches(1)[0]
    plain, half, whole = (
        FreeMatch(4, FreeMatch.Config(fairness=weight))(weak, strong)[0] for weight in (0, 0.5, 1)
    )
    assert plain != whole
    torch.testing.assert_close(half, (plain + whole) / 2)
