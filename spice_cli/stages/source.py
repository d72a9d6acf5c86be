"""What a clustering head learns from, out of what `embed` and `pretrain` left."""

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor

from spice_cli.config.self_label import SelfLabel
from spice_cli.heads.deal import ALL
from spice_cli.heads.source import Draw, Facts, PairOfViews, Pixels, Source, Wants, plain_source
from spice_cli.models.backbone import Backbone
from spice_cli.ops.augment import plain
from spice_cli.ops.residence import brought
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import restore
from spice_cli.stages.features import strong_view, weak_view
from spice_cli.stages.graph import graphed
from spice_cli.stages.job import Job
from spice_cli.stages.spaces import load_spaces
from spice_cli.stages.views import has_pixels, live_views, stored_views

LEFT = ("projections", "probs")
"""What `pretrain` may leave beside the backbone."""


def source_of(job: Job[SelfLabel], wants: Wants) -> Source:
    """Read what the method wants; views are of the kind that the config settled on."""
    config, data = job.config, job.run.manifest.data
    kind = config.views if wants.views else "plain"
    names = () if kind == "cached" else ("embeddings",)
    stored = {k: v.to(job.device) for k, v in job.run.read(Stage.EMBED, *names).items()}
    here, pixels = partial(brought, device=job.device), None
    if wants.pixels or kind == "live":
        images, backbone = job.images(), restore(job.run, job.device)
        weak, strong = live_views(_shared(backbone, job), images, job)
    if kind != "live":
        weak, strong = stored_views(stored, kind)
    if wants.pixels:
        pixels = Pixels(
            images,
            lambda: _shared(backbone, job),
            weak=lambda batch, generator: _last(weak_view(config.weak, generator)(here(batch))),
            strong=lambda batch, generator: _last(
                strong_view(config.strong, generator)(here(batch))
            ),
            plain=lambda batch: _last(plain(here(batch))),
        )
    return plain_source(
        stored["embeddings"],
        config.clusters or 0,
        train=data.train,
        views=_both(weak, strong),
        strong=strong,
        spaces=tuple(rows.to(job.device) for rows in load_spaces(config.spaces, job.run)),
        pixels=pixels,
        left=_left(job) if wants.left else {},
        dtype=torch.bfloat16 if job.precision == "bf16" else torch.float32,
        deal=job.group.deal(config.heads) if wants.dealt else ALL,
        stretch=job.group.stretch,
        wrap=lambda step: graphed(step, job.device, job.track.warn),
    )


def facts_of(clusters: int, run: Run) -> Facts:
    """Return what a method may know before it starts."""
    data = run.manifest.data
    stored, pretrained = run.record(Stage.EMBED), run.manifest.stages.get(Stage.PRETRAIN)
    left = pretrained.tensors if pretrained else {}
    return Facts(
        images=data.train,
        clusters=clusters,
        features=stored.tensors["embeddings"].shape[1],
        side=data.size if has_pixels(run) else None,
        left={name: left[name].shape for name in LEFT if name in left},
    )


def _left(job: Job[SelfLabel]) -> dict[str, Tensor]:
    record = job.run.record(Stage.PRETRAIN)
    names = [name for name in LEFT if name in record.tensors]
    found = job.run.read(Stage.PRETRAIN, *names) if names else {}
    return {name: tensor.float().to(job.device) for name, tensor in found.items()}


def _shared(backbone: Backbone, job: Job[SelfLabel]) -> Backbone:
    """Return a copy whose work is dealt out."""
    own = deepcopy(backbone)
    job.group.share(own)
    return own


def _both(weak: Draw, strong: Draw) -> PairOfViews:
    return lambda rows, generator: (weak(rows, generator), strong(rows, generator))


def _last(pixels: Tensor) -> Tensor:
    return pixels.contiguous(memory_format=torch.channels_last)
