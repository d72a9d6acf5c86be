"""What the numbers in a stage's tensors must be, beyond their shapes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Stage

TOLERANCE = 1e-3
"""How far a length or a sum of probabilities may be from one."""
NEGATIVE = 1e-6
"""How far below nothing a probability may be."""


def check_values(stage: Stage, tensors: Mapping[str, Tensor], axes: Mapping[str, int]) -> None:
    """Check that floats are finite, embeddings of unit length, probabilities such, indices valid.

    Args:
        stage: whose tensors they are.
        tensors: some or all of them, of the shapes that the schema asks for.
        axes: n, and h and k where they are known.

    Raises:
        InvalidError: names the tensor and the first row that is wrong.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel() and not _finite(tensor.detach()):
            raise InvalidError(f"tensor `{name}` of `{stage}` holds values that are not finite")
    if "embeddings" in tensors:
        _unit(stage, tensors["embeddings"])
    if "probs" in tensors:
        _probabilities(stage, tensors["probs"])
    for name, axis in (("index", "n"), ("label", "k")):
        if name in tensors:
            _within(stage, name, tensors[name], axes.get(axis))
    if "index" in tensors and bool((tensors["index"].sort().values.diff() == 0).any()):
        raise InvalidError(f"tensor `index` of `{stage}` names an image twice")


def _finite(tensor: Tensor) -> bool:
    # One pass without a copy: the extremes of a tensor with a NaN in it are NaN.
    return bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def _unit(stage: Stage, rows: Tensor) -> None:
    length = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32)
    if (row := _first((length - 1).abs() > TOLERANCE)) is not None:
        raise InvalidError(
            f"tensor `embeddings` of `{stage}` has length {float(length[row]):.4g} in row {row}, "
            "expected unit length"
        )


def _probabilities(stage: Stage, rows: Tensor) -> None:
    total, lowest = rows.sum(dim=1, dtype=torch.float32), rows.amin(dim=1)
    if (row := _first(lowest < -NEGATIVE)) is not None:
        raise InvalidError(f"tensor `probs` of `{stage}` is negative in row {row}")
    if (row := _first((total - 1).abs() > TOLERANCE)) is not None:
        raise InvalidError(
            f"tensor `probs` of `{stage}` sums to {float(total[row]):.4g} in row {row}, expected 1"
        )


def _within(stage: Stage, name: str, values: Tensor, size: int | None) -> None:
    wrong = values < 0 if size is None else (values < 0) | (values >= size)
    if (at := _first(wrong.reshape(-1))) is not None:
        limit = "at least 0" if size is None else f"0 to {size - 1}"
        value = int(values.reshape(-1)[at])
        raise InvalidError(f"tensor `{name}` of `{stage}` holds {value}, expected {limit}")


def _first(wrong: Tensor) -> int | None:
    """Find the first true element."""
    return int(wrong.to(torch.uint8).argmax()) if bool(wrong.any()) else None
