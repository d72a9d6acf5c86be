import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.ops.costs import Saved, affordable, batch_for, epochs_for, feature_bytes, image_bytes


@given(images=st.integers(8, 200_000))
def test_a_batch_is_a_power_of_two_and_at_most_a_quarter(images: int) -> None:
    batch = batch_for(images, 256)
    assert batch & (batch - 1) == 0
    assert 2 <= batch <= min(256, images / 4)


def test_epochs_make_the_updates_wanted_within_limits() -> None:
    assert epochs_for(1_000, 100, 200, least=1, most=400) == 20
    assert epochs_for(1_050, 100, 201, least=1, most=400) == 21
    assert epochs_for(100, 10, 100_000, least=1, most=400) == 400
    assert epochs_for(100_000, 10, 10, least=30, most=400) == 30


def test_what_fits_is_counted_but_something_is_always_done() -> None:
    assert affordable(10, 3, least=1) == 3
    assert affordable(10, 30, least=2) == 2


def test_bytes_are_those_of_the_tensors() -> None:
    assert image_bytes(7, 8) == torch.zeros(7, 3, 8, 8, dtype=torch.uint8).nbytes
    assert feature_bytes(7, 5, 2) == torch.zeros(5, 7, 5).nbytes


def test_saved_counts_what_backward_needs_once() -> None:
    weight = torch.ones(10, 10, requires_grad=True)
    kept = Saved()
    with kept:
        out = (weight * weight).exp()
    assert kept.bytes == weight.nbytes + out.nbytes
    torch.autograd.backward(out.sum())
    assert weight.grad is not None
    assert float(weight.grad[0, 0]) == pytest.approx(2 * 2.718281828)
