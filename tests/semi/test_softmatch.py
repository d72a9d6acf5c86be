import math
import statistics

import pytest
import torch
from torch import Tensor

from spice_cli.semi.softmatch import SoftMatch


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    bias = torch.tensor([1.0, 0.0, -1.0])
    return [
        tuple(2 * torch.randn(2, 30, 3, generator=generator) + bias)  # type: ignore[misc]
        for _ in range(count)
    ]


@pytest.mark.parametrize("align", [False, True])
def test_weights_follow_the_equations_step_by_step(align: bool) -> None:
    method = SoftMatch(3, SoftMatch.Config(average=0.5, align=align))
    center, variance, mean = 1 / 3, 1.0, [1 / 3] * 3
    for step, (weak, strong) in enumerate(batches(6)):
        loss, guess, trust = method(weak, strong)
        probs, shaken = weak.softmax(1).tolist(), strong.softmax(1).tolist()
        decay = min(0.5, (1 + step) / (10 + step))
        for c in range(3):
            mean[c] = decay * mean[c] + (1 - decay) * sum(row[c] for row in probs) / 30
        tops = []
        for row in probs:
            aligned = [p / m for p, m in zip(row, mean, strict=True)] if align else row
            tops.append(max(aligned) / sum(aligned))
        center = decay * center + (1 - decay) * statistics.mean(tops)
        variance = decay * variance + (1 - decay) * statistics.variance(tops)
        wanted = [
            math.exp(-((2 * (top - center)) ** 2) / (2 * variance)) if top < center else 1.0
            for top in tops
        ]
        labels = [row.index(max(row)) for row in probs]
        taught = sum(
            -w * math.log(row[label]) for w, row, label in zip(wanted, shaken, labels, strict=True)
        )
        assert guess.tolist() == labels
        assert trust.tolist() == pytest.approx(wanted, abs=1e-4)
        assert float(loss) == pytest.approx(taught / 30, abs=1e-4)


def test_certainty_everywhere_weighs_one() -> None:
    weak = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    method = SoftMatch(2, SoftMatch.Config(average=0.0))
    for _ in range(3):
        assert method(weak, weak)[2].tolist() == [1, 1]


def test_one_image_has_no_variance_and_no_fault() -> None:
    loss, _, trust = SoftMatch(2, SoftMatch.Config())(torch.ones(1, 2), torch.ones(1, 2))
    assert loss.isfinite()
    assert trust.isfinite().all()
