"""The heads that `self-label` stored, all of the epoch that it picked, read again."""

import torch
from torch import Tensor
from torch.nn import Module

from spice_cli.heads.linear import LinearHeads, UnitHeads
from spice_cli.heads.perceptrons import Heads
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run

ALIKE = 0.95
"""Share of the images that the chosen head must put where it put them when it was stored."""


def clusters_of_heads(run: Run) -> Tensor | None:
    """Return the cluster (h, n) that each stored head puts each image in.

    The chosen head's are those that were stored; others may differ in a few images from what they
    were in bf16. None where the heads cannot be read without their method, or would not say what
    they said: those of a trained backbone, or of several feature spaces.
    """
    stored = run.read(Stage.SELF_LABEL)
    if Stage.EMBED not in run.record(Stage.SELF_LABEL).inputs:
        return None
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"]
    state = {k.removeprefix("heads."): v for k, v in stored.items() if k.startswith("heads.")}
    # TURTLE's first space
    state = {name.removeprefix("0."): value for name, value in state.items()}
    heads, losses = _rebuilt(state, rows.shape[1]), stored.get("losses")
    if heads is None or losses is None or not bool(losses.isfinite().any()):
        return None
    clusters = _clusters(heads, rows)
    if len(clusters) != len(losses):
        return None
    said, chosen = stored["probs"].argmax(1), clusters[int(losses.argmin())]
    if float((said == chosen).double().mean()) < ALIKE:
        return None
    chosen.copy_(said)
    return clusters


@torch.no_grad()
def _clusters(heads: Module, rows: Tensor) -> Tensor:
    """Name the cluster (h, n) that each head puts each row (n, d) in, some rows at a time."""
    return torch.cat([heads(some).argmax(-1) for some in torch.split(rows, 2048)], 1)


def _rebuilt(state: dict[str, Tensor], features: int) -> Module | None:
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
    linear = LinearHeads(weight)
    linear.load_state_dict({"weight": weight, "bias": state["bias"]})
    return linear
