import math

import pytest
import torch
import torch.nn.functional as F

from spice_cli.ops.losses import (
    SELF_LABEL_LOSSES,
    double_softmax,
    mean_entropy,
    plain,
    temperature_scaled,
)

LOGITS = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.randint(4, (3, 7), generator=torch.Generator().manual_seed(1))


def by_hand(row: list[float], target: int) -> float:
    return -math.log(math.exp(row[target]) / sum(math.exp(v) for v in row))


def softmax_by_hand(row: list[float]) -> list[float]:
    return [math.exp(v) / sum(math.exp(w) for w in row) for v in row]


@pytest.mark.parametrize("k", [2, 10, 200])
def test_double_softmax_has_its_floor_at_a_sure_output_and_ln_k_at_an_even_one(k: int) -> None:
    target = torch.tensor([0])
    sure = F.one_hot(target, k).double() * 1e4
    assert double_softmax(sure, target).item() == pytest.approx(math.log(math.e + k - 1) - 1)
    assert double_softmax(torch.zeros(1, k), target).item() == pytest.approx(math.log(k))


@pytest.mark.parametrize("name", SELF_LABEL_LOSSES)
def test_every_loss_equals_a_hand_computation_for_each_head(name: str) -> None:
    before = {
        "double-softmax": softmax_by_hand,
        "plain": lambda row: row,
        "temperature": lambda row: [v / 0.2 for v in row],
    }[name]
    losses = SELF_LABEL_LOSSES[name](LOGITS, TARGET, 0.2)
    assert losses.shape == (3, 7)
    for head in range(3):
        for i in range(7):
            expected = by_hand(before(LOGITS[head, i].tolist()), int(TARGET[head, i]))
            assert losses[head, i].item() == pytest.approx(expected, abs=1e-12)


def test_plain_equals_torchs_cross_entropy_and_takes_one_sample() -> None:
    expected = F.cross_entropy(LOGITS[0], TARGET[0], reduction="none")
    torch.testing.assert_close(plain(LOGITS[0], TARGET[0]), expected)
    torch.testing.assert_close(plain(LOGITS[0, 0], TARGET[0, 0]), expected[0])


@pytest.mark.parametrize("loss", SELF_LABEL_LOSSES.values())
def test_gradients_are_right(loss) -> None:
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, TARGET, 0.7), logits)


def test_temperature_one_is_plain() -> None:
    assert torch.equal(temperature_scaled(LOGITS, TARGET, 1.0), plain(LOGITS, TARGET))


def test_mean_entropy_equals_a_hand_computation_for_each_head() -> None:
    probs = LOGITS.softmax(-1)
    values = mean_entropy(probs)
    for head in range(3):
        shares = [sum(row[c] for row in probs[head].tolist()) / 7 for c in range(4)]
        assert values[head].item() == pytest.approx(-sum(s * math.log(s) for s in shares))


def test_mean_entropy_of_one_cluster_is_clamped_and_of_even_use_is_ln_k() -> None:
    one = F.one_hot(torch.zeros(6, dtype=torch.int64), 3).double()
    assert mean_entropy(one).item() == pytest.approx(-2 * 1e-5 * math.log(1e-5))
    even = F.one_hot(torch.arange(6) % 3, 3).double()
    assert mean_entropy(even).item() == pytest.approx(math.log(3))
