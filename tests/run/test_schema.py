from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Stage, TensorSpec
from spice_cli.run.schema import check, check_specs

N = {stage: {"n": 6 if stage is Stage.SELECT_RELIABLE else 8} for stage in Stage}
Valid = Callable[..., dict[str, Tensor]]


@pytest.mark.parametrize("stage", list(Stage))
def test_what_a_stage_leaves_is_accepted(stage: Stage, valid: Valid) -> None:
    check(stage, valid(stage), axes=N[stage])


def test_the_sizes_of_all_axes_are_returned(valid: Valid) -> None:
    found = check(Stage.SELF_LABEL, valid(Stage.SELF_LABEL), axes={"n": 8})
    assert found == {"n": 8, "k": 3, "h": 2}


def test_stored_views_are_accepted(valid: Valid) -> None:
    views = torch.zeros(5, 8, 4, dtype=torch.bfloat16)
    tensors = {**valid(Stage.EMBED), "weak": views, "strong": views}
    assert check(Stage.EMBED, tensors, axes={"n": 8})["v"] == 5


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("pretrain", {"backbone.conv.weight": None}, "needs a tensor `backbone.*`, found nothing"),
        ("pretrain", {"queue": torch.zeros(1)}, "`queue` is not one that `pretrain` leaves"),
        ("pretrain", {"backbone.": torch.zeros(1)}, "`backbone.` is not one"),
        (
            "embed",
            {"embeddings": None, "features": torch.zeros(1)},
            "`embed` needs a tensor `embeddings (n, d)`, found `features`",
        ),
        ("embed", {"embeddings": torch.zeros(8)}, "has shape (8,), expected (n = 8, d)"),
        ("embed", {"embeddings": torch.zeros(7, 4)}, "has shape (7, 4), expected (n = 8, d)"),
        ("embed", {"embeddings": torch.zeros(8, 0)}, "has shape (8, 0)"),
        ("embed", {"embeddings": torch.zeros(8, 4).long()}, "is int64, expected float"),
        ("embed", {"weak": torch.zeros(2, 8, 5)}, "expected (v, n = 8, d = 4)"),
        (
            "embed",
            {"weak": torch.zeros(2, 8, 4), "strong": torch.zeros(3, 8, 4)},
            "`strong` of `embed` has shape (3, 8, 4), expected (v = 2, n = 8, d = 4)",
        ),
        ("self-label", {"probs": None}, "needs a tensor `probs (n, k)`"),
        ("self-label", {"losses": None}, "needs a tensor `losses (h)`"),
        ("self-label", {"heads.0.weight": None}, "needs a tensor `heads.*`"),
        ("select-reliable", {"label": torch.tensor([0, 1])}, "has shape (2,), expected (m = 3)"),
        ("select-reliable", {"label": torch.zeros(3)}, "is float32, expected int64"),
        ("select-reliable", {"consistency": torch.zeros(8)}, "expected (n = 6)"),
        ("select-reliable", {"consistency": None}, "needs a tensor `consistency (n)`"),
        (
            "select-reliable",
            {"index": torch.tensor([]).long(), "label": torch.tensor([]).long()},
            "`index` of `select-reliable` has shape (0,)",
        ),
        ("semi", {"model.fc.bias": None}, "needs a tensor `model.*`, found `probs`"),
    ],
)
def test_a_wrong_artifact_is_named(
    stage: str, change: dict[str, Any], message: str, valid: Valid
) -> None:
    tensors = {**valid(Stage(stage)), **change}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(InvalidError) as failure:
        check(Stage(stage), tensors, axes=N[Stage(stage)])
    assert message in str(failure.value)
    assert failure.value.exit_code == 4


@pytest.mark.parametrize(
    ("stage", "kept"),
    [("self-label", {"probs"}), ("select-reliable", {"index", "label"}), ("semi", {"probs"})],
)
def test_what_another_program_made_may_lack_what_only_we_need(
    stage: str, kept: set[str], valid: Valid
) -> None:
    some = {name: tensor for name, tensor in valid(Stage(stage)).items() if name in kept}
    check(Stage(stage), some, axes=N[Stage(stage)], imported=True)
    with pytest.raises(InvalidError, match="needs a tensor"):
        check(Stage(stage), some, axes=N[Stage(stage)])
    for name in kept:
        fewer = {other: tensor for other, tensor in some.items() if other != name}
        with pytest.raises(InvalidError, match=f"needs a tensor `{name}"):
            check(Stage(stage), fewer, axes=N[Stage(stage)], imported=True)


def test_specs_alone_can_be_checked() -> None:
    specs = {"embeddings": TensorSpec(shape=(8, 5), dtype="float32")}
    assert check_specs(Stage.EMBED, specs, axes={"n": 8}) == {"n": 8, "d": 5}
    with pytest.raises(InvalidError, match="expected"):
        check_specs(Stage.EMBED, specs, axes={"n": 9})
