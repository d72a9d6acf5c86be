"""Reliable labels made anew from the classifier in training, by the run's own selection."""

from functools import partial

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from spice_cli.config.select_reliable import SelectReliable
from spice_cli.config.semi import Semi
from spice_cli.errors import InvalidError
from spice_cli.models.classifier import Classifier
from spice_cli.ops.judged import judged
from spice_cli.ops.neighbors import tell_nearest
from spice_cli.ops.reliable import counts, select
from spice_cli.run.manifest import Stage
from spice_cli.stages.classify import outputs
from spice_cli.stages.job import Job
from spice_cli.stages.select_reliable import selection

NONE = -1


class Labels(nn.Module):
    """The reliable label of every training image, which a resumed training must find again."""

    label: Tensor
    """(n,) int64, `NONE` for images without one."""

    def __init__(self, images: int, index: Tensor, label: Tensor) -> None:
        super().__init__()
        self.register_buffer("label", torch.full((images,), NONE, device=index.device))
        self.renew(index, label)

    def renew(self, index: Tensor, label: Tensor) -> None:
        """Replace all labels by label (m,) of the images index (m,)."""
        self.label.fill_(NONE)
        self.label[index] = label

    def known(self) -> tuple[Tensor, Tensor]:
        """Return the images that have one, ascending (m,), and their labels (m,)."""
        index = (self.label != NONE).nonzero()[:, 0]
        return index, self.label[index]


def renewal_rounds(rounds: int, times: int) -> set[int]:
    """Return after which of `rounds` rounds labels are made anew: `times` at even distances."""
    return {rounds * number // (times + 1) for number in range(1, times + 1)}


def renew(job: Job[Semi], model: Classifier, pool: Tensor, labels: Labels, number: int) -> bool:
    """Select anew among the training images `pool` (n, 3, h, w); return whether labels changed.

    The settings are those that `select-reliable` ran with, except that neighbours are exact.
    Labels stay as they are where another program made them, or a cluster would be left with none.
    """
    config = _config(job)
    if config is None:
        return False
    parts = list(outputs(model, pool, job))
    embeddings = F.normalize(torch.cat([features for features, _ in parts]))
    probs = torch.cat([logits for _, logits in parts]).softmax(1)
    method = selection(config)
    voters = min(method.neighbors, len(pool))
    exact = partial(tell_nearest, embeddings, voters)
    found = select(
        judged(method, exact, voters, probs),
        probs,
        balance=method.balance,
        min_per_cluster=config.min_per_cluster,
        generator=job.generator("renewal", number),
    )
    if not bool((counts(found.label, probs.shape[1]) > 0).all()):
        return False
    labels.renew(found.index, found.label)
    return True


def _config(job: Job[Semi]) -> SelectReliable | None:
    record = job.run.record(Stage.SELECT_RELIABLE)
    if record.imported:
        return None
    try:
        return SelectReliable.model_validate(record.config)
    except ValidationError:
        raise InvalidError(
            "`select-reliable` ran with settings that are none any more",
            hint=job.run.command(Stage.SELECT_RELIABLE, force=True),
        ) from None
