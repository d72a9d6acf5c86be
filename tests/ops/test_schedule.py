import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.ops.schedule import cosine, cosine_7_16, ema_decay, semi_steps


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


@pytest.mark.parametrize(
    ("reliable", "images", "ratio", "steps"),
    [
        (20_000, 50_000, 7, 10_000),  # by labels
        (40_000, 50_000, 7, 20_000),
        (10_360, 50_000, 7, 7143),  # by images
        (10_360, 50_000, 1, 50_000),
        (100, 200, 7, 500),
        (10**7, 10**7, 7, 100_000),
    ],
)
def test_steps_follow_the_number_of_labels_within_bounds(
    reliable: int, images: int, ratio: int, steps: int
) -> None:
    assert semi_steps(reliable, images, 64, ratio) == steps


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 20))
def test_more_labels_or_images_never_need_fewer_steps(
    reliable: int, more: int, batch_size: int, ratio: int
) -> None:
    few = semi_steps(reliable, reliable + more, batch_size, ratio)
    assert few <= semi_steps(reliable + more, reliable + more, batch_size, ratio)
    assert few <= semi_steps(reliable, reliable + 2 * more, batch_size, ratio)
