"""Embeddings in, cluster probabilities out: SPICE-Self on a frozen backbone."""

import time
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from spice_cli.catalog import HEADS, load
from spice_cli.config import LABELLED, SelfLabel
from spice_cli.errors import UsageError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import restore
from spice_cli.stages.features import features, strong_view, weak_view
from spice_cli.stages.graph import graphed
from spice_cli.stages.job import Job, Work, check_shares, setting

PairOfViews = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""From rows (m,) to the features of one weak and one strong view of each (m, d)."""

PATIENCE = 3
"""Epochs before a head that puts nearly everything into one cluster ends the stage."""


def compute(job: Job[SelfLabel]) -> dict[str, Tensor]:
    """Train all heads on the training rows and keep the epoch and head of the lowest loss."""
    config, data = job.config, job.run.manifest.data
    clusters, batch = config.clusters or 0, config.batch or 0
    stored = {k: v.to(job.device) for k, v in job.run.read(Stage.EMBED).items()}
    everything = stored["embeddings"]
    embeddings = everything[: data.train]
    n = len(embeddings)
    views = _views(job, stored)
    head = load(HEADS[config.method])(
        everything.shape[1],
        clusters,
        config,
        job.generator("initialisation"),
        dtype=torch.bfloat16 if job.precision == "bf16" else torch.float32,
        wrap=lambda walk: graphed(walk, job.device, job.track.warn),
    )
    best = deepcopy(head.heads)
    parts = {"heads": head.heads, "optimizer": head.optimizer, "best": best}
    done = job.resume(parts)
    rounds = n // batch
    advice = f"pretrain for longer, or keep all clusters in use: {setting(job.stage, entropy=1)}"
    with job.track.bar(
        "self-label", config.epochs * rounds * batch, done=done * rounds * batch
    ) as bar:
        for epoch in range(done + 1, config.epochs + 1):
            started = time.monotonic()
            generator = job.generator(epoch)
            loss = torch.zeros((), device=job.device)
            for _ in range(rounds):
                rows = torch.randperm(n, generator=generator, device=job.device)[:batch]
                weak, strong = views(rows, generator)
                index = head.label(embeddings[rows], weak)
                loss += head.train(strong, index, generator) / rounds
                bar.advance(batch)
            losses, probs = head.score(embeddings)
            if losses.min() < best.losses.min():
                best.load_state_dict({**head.heads.state_dict(), "losses": losses})
            sizes = torch.bincount(probs[losses.argmin()].argmax(1), minlength=clusters)
            seconds = time.monotonic() - started
            record = {
                "epoch": epoch,
                "loss": float(loss),
                "selection_loss": float(losses.min()),
                "head": int(losses.argmin()),
                "largest_share": float(sizes.max() / n),
                "empty": int((sizes == 0).sum()),
                "seconds": round(seconds, 3),
                "images_per_second": round(rounds * batch / seconds, 1),
            }
            job.note(record)
            bar.line(
                f"epoch {epoch}/{config.epochs}  loss {record['loss']:.4f}",
                f"selection loss {record['selection_loss']:.4f} (head {record['head']})  "
                f"{record['images_per_second']:,.0f} images/s",
            )
            if epoch > PATIENCE:
                check_shares(job.stage, sizes, hint=advice)
            job.save(epoch, parts)
    probs = head.probs(best, everything)
    state = {f"heads.{name}": value for name, value in best.named_parameters()}
    return {**state, "losses": best.losses, "probs": probs}


def cluster_count(asked: int | None, declared: int | None) -> int:
    """Return how many clusters to find; knowing neither is a `UsageError`."""
    count = asked or declared
    if count is None or count < 2:
        found = "no classes" if count is None else "a single class"
        raise UsageError(
            f"how many clusters? the data set declares {found}", hint="pass `--clusters K`"
        )
    return count


def _views(job: Job[SelfLabel], stored: dict[str, Tensor]) -> PairOfViews:
    config = job.config
    if config.views == "live":
        images = job.images()
        backbone = restore(job.run, job.device)

        def live(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            part = images[rows]
            weak, strong = weak_view(config.weak, generator), strong_view(config.strong, generator)
            one = features(backbone, part, weak, job, batch_size=512)
            return one, features(backbone, part, strong, job, batch_size=512)

        return live
    plain = stored["embeddings"][None]
    weak, strong = (stored["weak"], stored["strong"]) if config.views == "cached" else (plain,) * 2

    def cached(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        draw = [
            torch.randint(len(views), rows.shape, generator=generator, device=rows.device)
            for views in (weak, strong)
        ]
        return weak[draw[0], rows], strong[draw[1], rows]

    return cached


def resolve(config: SelfLabel, run: Run) -> SelfLabel:
    """Fill in the number of clusters, M, the heads' width, and where views come from."""
    data, stored = run.manifest.data, run.record(Stage.EMBED)
    clusters = cluster_count(config.clusters, data.classes)
    batch = min(config.batch or LABELLED[config.variant] * clusters, data.train)
    if batch < clusters:
        raise UsageError(
            f"{clusters} clusters are too many for {batch} images labelled together",
            hint="fewer `--clusters`",
        )
    update = {
        "clusters": clusters,
        "batch": batch,
        "hidden": config.hidden or stored.tensors["embeddings"].shape[1],
        "views": _source(config.views, run),
    }
    return config.model_copy(update=update)


def _source(views: str, run: Run) -> str:
    stored = run.record(Stage.EMBED)
    cached = {"weak", "strong"} <= stored.tensors.keys()
    ours = Stage.PRETRAIN in run.manifest.stages and not stored.imported
    live = ours and run.manifest.data.spec is not None
    if views == "auto":
        return "cached" if cached else "live" if live else "plain"
    if views == "cached" and not cached:
        raise UsageError(
            "`embed` stored no weak and strong views", hint=f"spice embed --views 4 -r {run.path}"
        )
    if views == "live" and not live:
        raise UsageError(
            "live views need images and the backbone that embedded them", hint="--set views=plain"
        )
    return views


def reads(config: SelfLabel, run: Run) -> tuple[Stage, ...]:
    """Read the embeddings, and for live views the backbone."""
    return (Stage.PRETRAIN, Stage.EMBED) if config.views == "live" else (Stage.EMBED,)


WORK = Work(compute, reads, resolve)
