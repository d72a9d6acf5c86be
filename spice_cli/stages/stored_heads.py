"""The heads that `self-label` stored, all of the epoch that it picked, read again."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Module

from spice_cli.config.self_label import Space
from spice_cli.errors import SpiceError
from spice_cli.heads.labelling import task_labels
from spice_cli.heads.linear import LinearHeads, UnitHeads
from spice_cli.heads.perceptrons import Heads
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.spaces import load_spaces

ALIKE = 0.95
"""Share of the images that the chosen head must put where it put them when it was stored."""


def clusters_of_heads(run: Run) -> Tensor | None:
    """Return the cluster (h, n) that each stored head puts each image in.

    The chosen head's are those that were stored; others may differ in a few images from what they
    were in bf16. None where the heads cannot be read without their method, or would not say what
    they said: those of a network that was trained with them, or after them.
    """
    stored = run.read(Stage.SELF_LABEL)
    trained = any(name.startswith("model.") for name in stored)
    clusters = None if trained else clusters_of_features(run, stored)
    losses = stored.get("losses")
    if clusters is None or losses is None:
        return None
    return believed(clusters, losses, stored["probs"])


def clusters_of_features(run: Run, stored: dict[str, Tensor]) -> Tensor | None:
    """Return the cluster (h, n) of each image by the heads in `stored`, read off stored features.

    None where they read something else, or what they read is not there any more.
    """
    record = run.record(Stage.SELF_LABEL)
    if Stage.EMBED not in record.inputs:
        return None
    spaces = record.config.get("spaces") or []
    try:
        further = (
            [Space.model_validate(each) for each in spaces] if isinstance(spaces, list) else []
        )
        rows = [run.read(Stage.EMBED, "embeddings")["embeddings"], *load_spaces(further, run)]
    except (SpiceError, ValueError):
        return None
    parts = _by_space(heads_in(stored))
    found = [rebuilt(state, x.shape[1]) for state, x in zip(parts, rows, strict=False)]
    heads = [each for each in found if each is not None]
    return _clusters(heads, rows) if len(heads) == len(parts) == len(rows) else None


def believed(clusters: Tensor, losses: Tensor, probs: Tensor) -> Tensor | None:
    """Return clusters (h, n) with those of the chosen head as they were stored.

    None where it says too much else than probabilities (n, k), or heads and losses (h,) differ.
    """
    if len(clusters) != len(losses) or not bool(losses.isfinite().any()):
        return None
    said, chosen = probs.argmax(1), clusters[int(losses.argmin())]
    if float((said == chosen).double().mean()) < ALIKE:
        return None
    chosen.copy_(said)
    return clusters


def heads_in(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the heads, without `heads.` before their names."""
    return {k.removeprefix("heads."): v for k, v in stored.items() if k.startswith("heads.")}


def rebuilt(
    state: dict[str, Tensor], features: int, dtype: torch.dtype = torch.float32
) -> Module | None:
    """Make heads for rows of that width from stored weights; none of weights of another kind."""
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    if shapes.keys() == {"weight1", "bias1", "weight2", "bias2"}:
        heads, width, hidden = shapes["weight1"]
        if width != features:
            return None
        made = Heads(heads, features, hidden, shapes["weight2"][2], torch.Generator())
        made.load_state_dict(state, strict=False)
        return made
    if shapes.keys() == {"weight"} and shapes["weight"][0] == features:  # TEMI's
        return UnitHeads(state["weight"])
    if shapes.keys() != {"weight", "bias"}:
        return None
    weight = state["weight"]
    if shapes["weight"] == (*shapes["bias"], features):  # SCAN's, a (k, d) for each head
        weight = weight.permute(2, 0, 1)
    if tuple(weight.shape) != (features, *shapes["bias"]):
        return None
    linear = LinearHeads(weight, dtype)
    linear.load_state_dict({"weight": weight, "bias": state["bias"]})
    return linear


def _by_space(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Part heads by the feature space that they read, the number before their names."""
    numbers = {name.partition(".")[0] for name in state}
    if not all(number.isdigit() for number in numbers):
        return [state]
    return [
        {k.removeprefix(f"{n}."): v for k, v in state.items() if k.startswith(f"{n}.")}
        for n in sorted(numbers, key=int)
    ]


@torch.no_grad()
def _clusters(heads: Sequence[Module], spaces: Sequence[Tensor]) -> Tensor:
    """Name the cluster (h, n) that heads put rows (n, d_i) of all spaces in, some at a time."""
    blocks = zip(*(torch.split(rows, 2048) for rows in spaces), strict=True)
    found = [
        task_labels([head(rows) for head, rows in zip(heads, block, strict=True)]).argmax(-1)
        for block in blocks
    ]
    return torch.cat(found, 1)
