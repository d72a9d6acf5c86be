"""Features and logits of many images, some at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from spice_cli.config.semi import Semi
from spice_cli.models.classifier import Classifier
from spice_cli.ops.augment import plain
from spice_cli.ops.residence import brought
from spice_cli.stages.job import Job

BATCH = 512


@torch.no_grad()
def outputs(model: Classifier, images: Tensor, job: Job[Semi]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features (b, d) and logits (b, k), float32, of plain images (n, 3, h, w) uint8."""
    for part in torch.split(images, BATCH):
        pixels = plain(brought(part, job.device)).contiguous(memory_format=torch.channels_last)
        with job.autocast():
            features = model.backbone(pixels)
            logits = model.fc(features)
        yield features, logits.float()


@torch.no_grad()
def predict(
    model: Classifier,
    images: Tensor,
    job: Job[Semi],
    calibrated: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the probabilities (n, k), of logits that `calibrated` may have changed."""
    parts = []
    for features, logits in outputs(model, images, job):
        parts.append((calibrated(logits, features) if calibrated else logits).softmax(1))
    return torch.cat(parts)
