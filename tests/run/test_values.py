from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Stage
from spice_cli.run.values import check_values

Valid = Callable[..., dict[str, Tensor]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_what_is_not_finite_is_named(bad: float, dtype: torch.dtype) -> None:
    for at in range(5):
        weight = torch.zeros(5, dtype=dtype)
        check_values(Stage.PRETRAIN, {"backbone.w": weight}, {})
        weight[at] = bad
        with pytest.raises(InvalidError, match="`backbone.w` of `pretrain` holds .* not finite"):
            check_values(Stage.PRETRAIN, {"backbone.w": weight}, {})


def test_a_scalar_and_an_empty_float_are_checked_too() -> None:
    check_values(Stage.PRETRAIN, {"backbone.a": torch.empty(0), "backbone.b": torch.ones(())}, {})
    with pytest.raises(InvalidError, match="not finite"):
        check_values(Stage.PRETRAIN, {"backbone.b": torch.tensor(torch.nan)}, {})


def test_rows_of_embeddings_have_unit_length(valid: Valid) -> None:
    rows = valid(Stage.EMBED)["embeddings"]
    check_values(Stage.EMBED, {"embeddings": rows * 1.0005}, {})
    rows[5] *= 1.01
    with pytest.raises(InvalidError, match=r"has length 1.01 in row 5, expected unit length"):
        check_values(Stage.EMBED, {"embeddings": rows}, {})


def test_probabilities_sum_to_one_and_are_not_negative(valid: Valid) -> None:
    probs = valid(Stage.SEMI)["probs"]
    check_values(Stage.SEMI, {"probs": probs}, {})
    scaled = probs.clone()
    scaled[2] *= 0.9
    with pytest.raises(InvalidError, match=r"`probs` of `semi` sums to 0.9 in row 2, expected 1"):
        check_values(Stage.SEMI, {"probs": scaled}, {})
    probs[3] = torch.tensor([-0.1, 0.6, 0.5])
    with pytest.raises(InvalidError, match="is negative in row 3"):
        check_values(Stage.SEMI, {"probs": probs}, {})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("index", [0, 6, 1], "`index` of `select-reliable` holds 6, expected 0 to 5"),
        ("index", [0, -1, 1], "`index` of `select-reliable` holds -1, expected 0 to 5"),
        ("index", [1, 3, 1], "`index` of `select-reliable` names an image twice"),
        ("label", [0, 3, 1], "`label` of `select-reliable` holds 3, expected 0 to 2"),
        ("label", [0, -100, 1], "`label` of `select-reliable` holds -100"),
    ],
)
def test_indices_and_labels_are_in_range(name: str, values: list[int], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        check_values(Stage.SELECT_RELIABLE, {name: torch.tensor(values)}, {"n": 6, "k": 3})


def test_labels_of_unknown_number_are_at_least_not_negative() -> None:
    check_values(Stage.SELECT_RELIABLE, {"label": torch.tensor([0, 999])}, {"n": 6})
    with pytest.raises(InvalidError, match="holds -1, expected at least 0"):
        check_values(Stage.SELECT_RELIABLE, {"label": torch.tensor([0, -1])}, {"n": 6})
