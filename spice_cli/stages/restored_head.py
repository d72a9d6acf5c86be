"""The head that a stage left on the embeddings, put together again."""

import torch
from torch import Tensor, nn

from spice_cli.catalog import HEADS, load
from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import InvalidError
from spice_cli.heads.apply import Cosines, perceptron
from spice_cli.heads.kmeans import KMeansConfig
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.placed import centers_of
from spice_cli.stages.recorded import config_of, in_bf16, no_network

ALIKE = 0.95
"""Share of the images that a head must put where it put them when it was stored."""
LOOKED_AT = 256


def head_of(
    run: Run,
    stage: Stage,
    device: torch.device,
    *,
    clusters: int | None = None,
    fp32: bool = False,
) -> nn.Module:
    """Return what makes probabilities (b, k) of unit rows (b, d): `self-label`, `ask` or `embed`.

    Errors as in `model_of`.
    """
    if stage is Stage.EMBED:
        centers = centers_of(run, clusters)
        return Cosines(centers, KMeansConfig().temperature).to(device).eval()
    if stage is Stage.ASK:
        answered = answered_head(run).to(device).eval()
        _check(run, answered, run.read(stage, "probs")["probs"], device, Stage.ASK)
        return answered
    stored = run.read(Stage.SELF_LABEL)
    state = {k.removeprefix("heads."): v for k, v in stored.items() if k.startswith("heads.")}
    if not state or "losses" not in stored:
        raise no_network(run, stage, "no heads")
    config = config_of(run, Stage.SELF_LABEL, SelfLabel)
    kind = load(HEADS[config.method])
    own = kind.Config.model_validate(config.settings)
    bf16 = not fp32 and in_bf16(run, Stage.SELF_LABEL, device)
    dtype = torch.bfloat16 if bf16 else torch.float32
    head: nn.Module = kind.classifier(state, stored["losses"], own, dtype).to(device).eval()
    _check(run, head, stored["probs"], device, Stage.SELF_LABEL)
    return head


def answered_head(run: Run) -> nn.Module:
    """Return the head that `ask` left."""
    stored = run.read(Stage.ASK)
    state = {k.removeprefix("heads."): v for k, v in stored.items() if k.startswith("heads.")}
    try:
        return perceptron(state, 0, torch.float32)
    except (KeyError, ValueError, IndexError, RuntimeError):
        raise InvalidError(
            f"`ask` in `{run.path}` holds no perceptron", hint=run.command(Stage.ASK)
        ) from None


def _check(run: Run, head: nn.Module, probs: Tensor, device: torch.device, stage: Stage) -> None:
    """Raise if the head does not say of stored embeddings what it said when it was stored."""
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"]
    some = torch.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).long()
    with torch.no_grad():
        found = head(rows[some].float().to(device)).argmax(1).cpu()
    if float((found == probs[some].argmax(1)).double().mean()) < ALIKE:
        raise InvalidError(
            f"the heads in `{run.path}` do not cluster the embeddings as `{stage}` did",
            hint=run.command(stage, force=True),
        )
