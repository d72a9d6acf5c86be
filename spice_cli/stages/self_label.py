"""Embeddings in, cluster probabilities out, by any head method of the catalogue."""

import time
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.catalog import HEADS, load
from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import UsageError
from spice_cli.heads.source import Result, Wants
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Job, Work, check_share, setting
from spice_cli.stages.source import facts_of, source_of
from spice_cli.stages.spaces import resolve_spaces
from spice_cli.stages.views import choose_views

PATIENCE = 3
"""A head that puts nearly everything into one cluster ends the stage after these epochs and half of
all: some heads are undecided for that long, and then part."""


def compute(job: Job[SelfLabel]) -> dict[str, Tensor]:
    """Train all heads on the training rows and keep what the method chose without labels."""
    config, clusters = job.config, job.config.clusters or 0
    kind = load(HEADS[config.method])
    wants = _wants(kind, config, clusters, job.run)
    source = source_of(job, wants)
    head = kind(source, config, wants.settings, job.generator("initialisation"))
    done = job.resume(head.parts, source.deal)
    total = head.epochs * head.images
    with job.track.bar("self-label", total, done=done * head.images) as bar:
        for epoch in range(done + 1, head.epochs + 1):
            started = time.monotonic()
            found = head.epoch(epoch, job.generator(epoch), bar.advance)
            seconds = time.monotonic() - started
            speed = head.images / seconds
            record = {
                "epoch": epoch,
                **found,
                "seconds": round(seconds, 3),
                "images_per_second": round(speed, 1),
            }
            job.note(record)
            bar.line(
                f"epoch {epoch}/{head.epochs}  loss {record['loss']:.4f}",
                f"{_selection(record)}{speed:,.0f} images/s",
            )
            if epoch > max(PATIENCE, head.epochs // 2) and "largest_share" in record:
                check_share(job.stage, record["largest_share"], clusters, hint=_advice(kind))
            job.save(epoch, head.parts, source.deal)
    result: Result = head.result()
    _count_clusters(job, result.probs[: len(source.embeddings)])
    return {**result.state, "losses": result.losses, "probs": result.probs}


def cluster_count(asked: int | None, declared: int | None) -> int:
    """Return how many clusters to find; knowing neither is a `UsageError`."""
    count = asked or declared
    if count is None or count < 2:
        found = "no classes" if count is None else "a single class"
        raise UsageError(
            f"how many clusters? the data set declares {found}", hint="pass `--clusters K`"
        )
    return count


def resolve(config: SelfLabel, run: Run) -> SelfLabel:
    """Fill in the number of clusters, where views come from, and what the method settles."""
    clusters = cluster_count(config.clusters, run.manifest.data.classes)
    if clusters > run.manifest.data.train:
        raise UsageError(
            f"{clusters} clusters are more than {run.manifest.data.train} training images",
            hint="fewer `--clusters`",
        )
    wants = _wants(load(HEADS[config.method]), config, clusters, run)
    shared = {k: v for k, v in wants.shared.items() if k not in config.model_fields_set}
    update = {
        "clusters": clusters,
        "views": choose_views(config.views, run),
        "spaces": resolve_spaces(config, run, wants),
        **shared,
        "settings": wants.settings.model_dump(mode="json"),
    }
    return config.model_copy(update=update)


def reads(config: SelfLabel, run: Run) -> tuple[Stage, ...]:
    """Read the embeddings, and where views or the method need it, the backbone."""
    wants = _wants(load(HEADS[config.method]), config, config.clusters or 0, run)
    pretrained = wants.left or _takes_images(wants, config)
    return (Stage.PRETRAIN, Stage.EMBED) if pretrained else (Stage.EMBED,)


def takes_images(config: SelfLabel, run: Run) -> bool:
    """Whether a backbone works, on images."""
    wants = _wants(load(HEADS[config.method]), config, config.clusters or 0, run)
    return _takes_images(wants, config)


def shared(config: SelfLabel, run: Run) -> bool:
    """Whether there is something to deal out to processes: a backbone's work, heads, or rows."""
    wants = _wants(load(HEADS[config.method]), config, config.clusters or 0, run)
    dealt = wants.passes or (wants.dealt and config.heads > 1)
    return dealt or _takes_images(wants, config)


def _takes_images(wants: Wants, config: SelfLabel) -> bool:
    return wants.pixels or (wants.views and config.views == "live")


def _wants(kind: Any, config: SelfLabel, clusters: int, run: Run) -> Wants:
    own = kind.Config.model_validate(config.settings)
    if not hasattr(kind, "wants"):
        return Wants(own)
    wants: Wants = kind.wants(own, facts_of(clusters, run))
    return wants


def _selection(record: dict[str, Any]) -> str:
    if "selection_loss" not in record:
        return ""
    return f"selection loss {record['selection_loss']:.4f} (head {record['head']})  "


def _advice(kind: Any) -> str:
    remedy: dict[str, JsonValue] = getattr(kind, "remedy", {})
    spread = f", or keep all clusters in use: {setting(Stage.SELF_LABEL, **remedy)}"
    return f"pretrain for longer{spread if remedy else ''}"


def _count_clusters(job: Job[SelfLabel], probs: Tensor) -> None:
    """Warn if clusters got no image."""
    sizes = torch.bincount(probs.argmax(1), minlength=probs.shape[1])
    if empty := int((sizes == 0).sum()):
        job.track.warn(f"{empty} of {len(sizes)} clusters have no image")


WORK = Work(compute, reads, resolve)
