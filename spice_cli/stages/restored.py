"""The network and the head that a run's stages left, put together again."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from spice_cli.catalog import HEADS, SEMI, load
from spice_cli.config import Embed, Frozen, SelfLabel, Semi
from spice_cli.errors import InvalidError, MissingError
from spice_cli.heads.apply import Cosines, perceptron
from spice_cli.heads.kmeans import KMeansConfig
from spice_cli.models.classifier import Classifier
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.semi.method import reads_features
from spice_cli.stages.assignments import newest
from spice_cli.stages.backbone import build, fill, image_size, pretrain_config, restore
from spice_cli.stages.model import Model, OfFeatures, OfOwnRows, OfUnitRows
from spice_cli.stages.placed import centers_of

ALIKE = 0.95
"""Share of the images that a head must put where it put them when it was stored."""
LOOKED_AT = 256
C = TypeVar("C", bound=Frozen)


def model_of(
    run: Run,
    device: torch.device,
    *,
    stage: Stage | None = None,
    clusters: int | None = None,
    fp32: bool = False,
) -> Model:
    """Return the network of a stage, the furthest by default, in evaluation mode on the device.

    It computes as the stages did that it comes from, if the device can, or in `fp32`. `clusters`
    is for k-means on `embed`.

    Raises:
        MissingError: there is no stage that clusters, or its network is not in the run, because it
            was taken from a file or looks at more than the backbone's features.
        InvalidError: what is stored is stale, damaged, or not what clustered the images.
    """
    stage = stage or newest(run)
    if stage is Stage.ASK and run.record(stage).config.get("space") == "network":
        model = _trained(run, Stage(str(run.record(stage).config.get("of"))), device, fp32)
        model.head = OfOwnRows(_answered(run))
    elif stage is Stage.SEMI or has_network(run, stage):
        model = _trained(run, stage, device, fp32)
    else:
        model = _frozen(run, stage, device, clusters, fp32)
    return model.requires_grad_(False).to(device).eval()


def embedder_of(run: Run, device: torch.device, head: nn.Module, *, fp32: bool = False) -> Model:
    """Return the network that `embed` used under a head on unit rows; errors as in `model_of`."""
    if Stage.PRETRAIN not in run.manifest.stages or run.record(Stage.EMBED).imported:
        raise MissingError(
            f"the embeddings of `{run.path}` came from a file, not from a network that new images "
            "could go through",
            hint="start a run from images: spice run DATASET",
        )
    config = _config(run, Stage.EMBED, Embed)
    bf16 = not fp32 and _in_bf16(run, Stage.EMBED, device)
    backbone, side = restore(run, device), image_size(run)
    model = Model(backbone, OfUnitRows(head), side=side, flip=config.flip, bf16=bf16)
    return model.requires_grad_(False).to(device).eval()


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
        answered = _answered(run).to(device).eval()
        _check(run, answered, run.read(stage, "probs")["probs"], device, Stage.ASK)
        return answered
    stored = run.read(Stage.SELF_LABEL)
    state = {k.removeprefix("heads."): v for k, v in stored.items() if k.startswith("heads.")}
    if not state or "losses" not in stored:
        raise _no_network(run, stage, "no heads")
    config = _config(run, Stage.SELF_LABEL, SelfLabel)
    kind = load(HEADS[config.method])
    own = kind.Config.model_validate(config.settings)
    bf16 = not fp32 and _in_bf16(run, Stage.SELF_LABEL, device)
    dtype = torch.bfloat16 if bf16 else torch.float32
    head: nn.Module = kind.classifier(state, stored["losses"], own, dtype).to(device).eval()
    _check(run, head, stored["probs"], device, Stage.SELF_LABEL)
    return head


def _frozen(
    run: Run, stage: Stage, device: torch.device, clusters: int | None, fp32: bool
) -> Model:
    head = head_of(run, stage, device, clusters=clusters, fp32=fp32)
    return embedder_of(run, device, head, fp32=fp32)


def _trained(run: Run, stage: Stage, device: torch.device, fp32: bool) -> Model:
    """Return the classifier that `semi` left, or `self-label` where it trained the backbone."""
    stored, pretrained = run.read(stage), pretrain_config(run)
    if not any(name.startswith("model.") for name in stored):
        raise _no_network(run, stage, "no network")
    name, method = pretrained.backbone, None
    width, clusters = stored["model.fc.weight"].shape[1], stored["probs"].shape[1]
    if stage is Stage.SEMI:
        config = _config(run, stage, Semi)
        name = config.backbone or name
        method = _method(stored, config, clusters, width)
    with torch.random.fork_rng(devices=[]):
        model = Classifier(build(name, pretrained, image_size(run)), clusters)
    fill(model, stored, "model.")
    bf16 = not fp32 and _in_bf16(run, stage, device)
    backbone = model.backbone.to(memory_format=torch.channels_last)
    head = OfFeatures(model.fc, method, bf16=bf16)
    return Model(backbone, head, side=image_size(run), bf16=bf16)


def _method(
    stored: Mapping[str, Tensor], config: Semi, clusters: int, width: int
) -> nn.Module | None:
    """Return what changed the logits before they became probabilities; mostly nothing did."""
    kind = load(SEMI[config.method])
    if not reads_features(kind):
        return None
    with torch.random.fork_rng(devices=[]):
        method: nn.Module = kind(clusters, kind.Config.model_validate(config.settings), width)
    fill(method, stored, "method.")
    return method


def _answered(run: Run) -> nn.Module:
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


def has_network(run: Run, stage: Stage) -> bool:
    """Tell whether a stage left a network that it trained."""
    names = run.record(stage).tensors
    return stage in (Stage.SELF_LABEL, Stage.SEMI) and any(
        name.startswith("model.") for name in names
    )


def _in_bf16(run: Run, stage: Stage, device: torch.device) -> bool:
    return run.record(stage).environment.precision == "bf16" and multiplies_bf16(device)


def _no_network(run: Run, stage: Stage, lacks: str) -> MissingError:
    return MissingError(
        f"`{stage}` was taken from a file that holds {lacks}, only what became of the run's images",
        hint=f"spice {stage} --force -r {quoted(run.path)}",
    )


def _config(run: Run, stage: Stage, kind: type[C]) -> C:
    try:
        return kind.model_validate(run.record(stage).config)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InvalidError(
            f"the manifest of `{run.path}` holds a config of `{stage}` whose `{key}` is wrong",
            hint=run.command(stage, force=True),
        ) from None
