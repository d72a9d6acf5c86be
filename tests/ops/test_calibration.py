import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.ops.calibration import expected_calibration_error


def slow(confidence: list[float], right: list[bool], bins: int) -> float:
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (b == 0 and c == 0)]
        if inside:
            sure = sum(confidence[i] for i in inside) / len(inside)
            share = sum(right[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(sure - share)
    return total


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0])), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 20),
)
def test_equals_a_slow_loop_with_confidences_on_the_edges(pairs: list, bins: int) -> None:
    confidence, right = (list(each) for each in zip(*pairs, strict=True))
    found = expected_calibration_error(
        torch.tensor(confidence, dtype=torch.float64), torch.tensor(right), bins
    )
    assert found == pytest.approx(slow(confidence, right, bins), abs=1e-12)


def test_honest_confidence_has_none_and_certainty_in_vain_has_all() -> None:
    right = torch.tensor([True] * 8 + [False] * 2)
    assert expected_calibration_error(torch.full((10,), 0.8), right) == pytest.approx(0, abs=1e-7)
    assert expected_calibration_error(torch.ones(10), ~torch.ones(10, dtype=torch.bool)) == 1


def test_fifteen_bins_unless_told() -> None:
    confidence, right = torch.rand(100), torch.rand(100) > 0.5
    assert expected_calibration_error(confidence, right) == expected_calibration_error(
        confidence, right, 15
    )


@pytest.mark.parametrize("shape", [(0,), (3, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must both be"):
        expected_calibration_error(torch.ones(shape), torch.ones(shape, dtype=torch.bool))
