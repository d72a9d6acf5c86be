"""What semi-supervised training starts from: random weights, the backbone, or the head as well."""

import torch
from torch import Tensor, nn

from spice_cli.config.pretrain import Pretrain
from spice_cli.config.semi import Semi
from spice_cli.errors import InvalidError, UsageError
from spice_cli.models.classifier import Classifier
from spice_cli.ops.distill import linear_student
from spice_cli.ops.residence import picked
from spice_cli.run.manifest import Stage
from spice_cli.stages.backbone import build, fill, image_size, pretrain_config, restore
from spice_cli.stages.classify import outputs
from spice_cli.stages.images import images_of
from spice_cli.stages.job import Job, setting

STUDIED = 20_000
"""Training images at most that the head of `self-label` is learnt from."""


def check_start(config: Semi, pretrained: Pretrain, *, from_head: bool) -> None:
    """Raise if it is to start from weights that there are not."""
    if from_head and config.init == "random":
        raise UsageError(
            f"`{config.method}` starts from the weights of `self-label`, not from random ones",
            hint=setting(Stage.SEMI, init="pretrain"),
        )
    if config.init == "pretrain" and config.backbone not in (None, pretrained.backbone):
        other = {"backbone": pretrained.backbone} if from_head else {"init": "random"}
        raise UsageError(
            f"there are weights of `{pretrained.backbone}`, none of `{config.backbone}`",
            hint=setting(Stage.SEMI, **other),
        )


def starting_model(job: Job[Semi], labels: Tensor, *, from_head: bool) -> Classifier:
    """Return the classifier to train, on the device, channels last, in training mode.

    It has as many clusters as the reliable labels (m,) name or, `from_head`, as `self-label` found.
    """
    config, stored = job.config, pretrain_config(job.run)
    clusters = int(labels.max()) + 1
    if from_head:
        model = _with_head(job, clusters)
    else:
        with job.seeded():
            if config.init == "pretrain":
                backbone = restore(job.run, job.device)
            else:
                backbone = build(config.backbone or stored.backbone, stored, image_size(job.run))
            model = Classifier(backbone, clusters)
    return model.to(job.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload, no-any-return]


def parameter_groups(modules: list[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """No decay for what batch norm scales and shifts by, as in FixMatch, nor for biases."""
    parameters = [p for each in modules for p in each.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _with_head(job: Job[Semi], named: int) -> Classifier:
    """Return the classifier that `self-label` trained or, without one, the nearest to its head.

    Heads are of many kinds; all leave probabilities. So the linear layer is the one that comes
    nearest to them, on features of the plain training images.
    """
    left = job.run.read(Stage.SELF_LABEL)
    found = left["probs"].shape[1]
    if named > found:
        raise InvalidError(
            f"the reliable labels name {named} clusters, `self-label` found {found}",
            hint=job.run.command(Stage.SELECT_RELIABLE, force=True),
        )
    with job.seeded():
        model = Classifier(restore(job.run, job.device), found).to(job.device)
    if any(name.startswith("model.") for name in left):
        fill(model, left, "model.")
        return model
    train = job.run.manifest.data.train
    rows = torch.randperm(train, generator=job.generator("head"), device=job.device)[:STUDIED]
    images = picked(images_of(job.run, job.track.say).images, rows)
    features = torch.cat([each for each, _ in outputs(model, images, job)])
    weight, bias = linear_student(features, left["probs"].to(job.device)[rows].float())
    model.fc.load_state_dict({"weight": weight, "bias": bias})
    return model
