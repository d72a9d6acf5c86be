"""The network of a run's stage, put together again from what the stages left."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spice_cli.catalog import SEMI, load
from spice_cli.config.embed import Embed
from spice_cli.config.semi import Semi
from spice_cli.errors import MissingError
from spice_cli.models.classifier import Classifier
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.semi.method import reads_features
from spice_cli.stages.assignments import newest
from spice_cli.stages.backbone import build, fill, image_size, pretrain_config, restore
from spice_cli.stages.model import Model, OfFeatures, OfOwnRows, OfUnitRows
from spice_cli.stages.recorded import config_of, in_bf16, no_network
from spice_cli.stages.restored_head import answered_head, head_of


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
        model.head = OfOwnRows(answered_head(run))
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
    config = config_of(run, Stage.EMBED, Embed)
    bf16 = not fp32 and in_bf16(run, Stage.EMBED, device)
    backbone, side = restore(run, device), image_size(run)
    model = Model(backbone, OfUnitRows(head), side=side, flip=config.flip, bf16=bf16)
    return model.requires_grad_(False).to(device).eval()


def _frozen(
    run: Run, stage: Stage, device: torch.device, clusters: int | None, fp32: bool
) -> Model:
    head = head_of(run, stage, device, clusters=clusters, fp32=fp32)
    return embedder_of(run, device, head, fp32=fp32)


def _trained(run: Run, stage: Stage, device: torch.device, fp32: bool) -> Model:
    """Return the classifier that `semi` left, or `self-label` where it trained the backbone."""
    stored, pretrained = run.read(stage), pretrain_config(run)
    if not any(name.startswith("model.") for name in stored):
        raise no_network(run, stage, "no network")
    name, method = pretrained.backbone, None
    width, clusters = stored["model.fc.weight"].shape[1], stored["probs"].shape[1]
    if stage is Stage.SEMI:
        config = config_of(run, stage, Semi)
        name = config.backbone or name
        method = _method(stored, config, clusters, width)
    with torch.random.fork_rng(devices=[]):
        model = Classifier(build(name, pretrained, image_size(run)), clusters)
    fill(model, stored, "model.")
    bf16 = not fp32 and in_bf16(run, stage, device)
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


def has_network(run: Run, stage: Stage) -> bool:
    """Tell whether a stage left a network that it trained."""
    names = run.record(stage).tensors
    return stage in (Stage.SELF_LABEL, Stage.SEMI) and any(
        name.startswith("model.") for name in names
    )
