"""Images and a backbone in, one unit-norm feature an image out."""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.config.embed import Embed
from spice_cli.ops.augment import plain
from spice_cli.ops.quality import collapsed, quality
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import restore
from spice_cli.stages.features import View, features, mirrored, strong_view, weak_view
from spice_cli.stages.job import Job, Work
from spice_cli.stages.room import room

BLOCK = 2**16
"""Rows at a time."""


def compute(job: Job[Embed]) -> dict[str, Tensor]:
    """Embed every image, train and test, in data set order; with `views`, augmented ones too."""
    config = job.config
    images = job.images()
    backbone = restore(job.run, job.device)
    job.group.share(backbone)
    job.log.clear()
    started = time.monotonic()
    rounds = 1 + config.flip + 2 * config.views
    with job.track.bar("embed", rounds * len(images)) as bar:

        def embed(view: View, into: Tensor) -> Tensor:
            return features(
                backbone,
                images,
                view,
                job,
                batch_size=config.batch_size,
                bar=bar,
                out=into,
            )

        def rows(*views: int) -> Tensor:
            return room(job.run.path, job.device, *views, len(images), int(backbone.features))

        embeddings = embed(plain, rows())
        if config.flip:
            parts = (torch.split(each, BLOCK) for each in (embeddings, embed(mirrored, rows())))
            for own, other in zip(*parts, strict=True):
                own.copy_(F.normalize(own + other))
        out = {"embeddings": embeddings}
        if config.views:
            out |= {"weak": rows(config.views), "strong": rows(config.views)}
            for v, into in enumerate(out["weak"]):
                embed(weak_view(config.weak, job.generator("weak", v)), into)
            for v, into in enumerate(out["strong"]):
                embed(strong_view(config.strong, job.generator("strong", v)), into)
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)
    seconds = time.monotonic() - started
    done = rounds * len(images)
    job.note(
        {
            "epoch": 1,
            "images": done,
            "seconds": round(seconds, 3),
            "images_per_second": round(done / seconds, 1),
            **_described(job, out["embeddings"]),
        }
    )
    return out


def _described(job: Job[Embed], embeddings: Tensor) -> dict[str, float | None]:
    """Return what the log says of the features without labels; warn if they have collapsed."""
    found = quality(embeddings, job.generator("quality"))
    if collapsed(found):
        job.track.warn(
            f"the features have collapsed: RankMe {found['rankme']:.2f} of "
            f"{embeddings.shape[1]} dimensions, mean cosine {found['mean_cosine']:.4f}; "
            "what is built on them will hardly tell images apart"
        )
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def reads(config: Embed, run: Run) -> tuple[Stage, ...]:
    """Read the backbone."""
    return (Stage.PRETRAIN,)


WORK = Work(compute, reads)
