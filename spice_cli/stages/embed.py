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
from spice_cli.stages.features import (
    View,
    fitting,
    mirrored,
    strong_view,
    unit_rows,
    weak_view,
)
from spice_cli.stages.job import Job, Work
from spice_cli.stages.room import Room


def compute(job: Job[Embed]) -> dict[str, Tensor]:
    """Embed every image, train and test, in data set order; with `views`, augmented ones too."""
    config, images = job.config, job.images()
    backbone = restore(job.run, job.device)
    job.group.share(backbone)
    job.log.clear()
    rounds, n = _rounds(job), len(images)
    room = Room(job, len(rounds) * n, int(backbone.features))
    before, size = room.done, fitting(config.batch_size, images, job.device)
    started = time.monotonic()
    with job.track.bar("embed", len(rounds) * n, done=before) as bar:
        for number, (views, generator) in enumerate(rounds):
            first = min(n, max(0, before - number * n))
            if 0 < first < n and room.state is not None:
                generator.set_state(room.state)
            for start in range(first, n, size):
                part = images[start : start + size]
                rows = [unit_rows(backbone, part, view, job) for view in views]
                room.put(F.normalize(rows[0] + rows[1]) if rows[1:] else rows[0])
                room.save(generator)
                bar.advance(len(part))
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)
    seconds = time.monotonic() - started
    if job.group.rank:
        return {}
    out = {"embeddings": room.rows[:n]}
    if config.views:
        kinds = room.rows[n:].view(2, config.views, n, -1)
        out |= dict(zip(("weak", "strong"), kinds, strict=True))
    done = room.done - before
    job.note(
        {
            "epoch": 1,
            "images": done,
            "seconds": round(seconds, 3),
            "images_per_second": round(done / max(seconds, 1e-9), 1),
            **_described(job, out["embeddings"]),
        }
    )
    return out


def _rounds(job: Job[Embed]) -> list[tuple[tuple[View, ...], torch.Generator]]:
    """Return what is made of all images one after another, each with its random numbers."""
    config = job.config
    views: tuple[View, ...] = (plain, mirrored) if config.flip else (plain,)
    rounds = [(views, job.generator("plain"))]
    for v in range(config.views):
        generator = job.generator("weak", v)
        rounds.append(((weak_view(config.weak, generator),), generator))
    for v in range(config.views):
        generator = job.generator("strong", v)
        rounds.append(((strong_view(config.strong, generator),), generator))
    return rounds


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
