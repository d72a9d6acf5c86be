import math

import pytest
import torch

from spice_cli.ops.schedule import cosine, cosine_7_16, ema_decay


def test_cosine_equals_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.06)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.001)
    for step in range(51):
        assert cosine(step, 50, base=0.06, final=0.001) == pytest.approx(
            oracle.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        oracle.step()


def test_warmup_rises_in_equal_steps_to_the_base() -> None:
    rates = [cosine(step, 100, base=0.5, warmup=4) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_after_warmup_the_rate_falls_to_the_final_one_and_stays() -> None:
    rates = [cosine(step, 30, base=1.0, warmup=5, final=0.1) for step in range(5, 31)]
    assert rates == sorted(rates, reverse=True)
    assert cosine(30, 30, base=1.0, final=0.1) == cosine(99, 30, base=1.0, final=0.1) == 0.1


def test_a_run_that_is_all_warmup_never_divides_by_zero() -> None:
    assert cosine(9, 10, base=1.0, warmup=10) == pytest.approx(10 / 11)
    assert cosine(10, 10, base=1.0, warmup=10) == 0.0


def test_fixmatchs_cosine_ends_at_a_fifth() -> None:
    assert cosine_7_16(0, 1000, 0.03) == 0.03
    assert cosine_7_16(500, 1000, 0.03) == pytest.approx(0.03 * math.cos(7 * math.pi / 32))
    assert cosine_7_16(1000, 1000, 1.0) == pytest.approx(0.19509, abs=1e-5)


def test_ema_decay_grows_from_a_tenth_to_its_limit() -> None:
    decays = [ema_decay(step, 0.999) for step in range(10_000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.999
