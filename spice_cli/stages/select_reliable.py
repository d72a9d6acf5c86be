"""Probabilities in, the labels worth trusting out."""

import importlib.util
import time
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.catalog import SELECTIONS, load
from spice_cli.config import SelectReliable
from spice_cli.errors import InvalidError, MissingError
from spice_cli.ops.approximate import nearly_nearest, recall
from spice_cli.ops.neighbors import nearest, nearest_of
from spice_cli.ops.reliable import counts, select
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Job, Work, setting

SAMPLE = 500
"""Images whose neighbours are also found exactly, to say how many an approximate index misses."""


def compute(job: Job[SelectReliable]) -> dict[str, Tensor]:
    """Select among the training rows; a cluster left with nothing is an `InvalidError`."""
    config, train = job.config, job.run.manifest.data.train
    probs = job.run.read(Stage.SELF_LABEL, "probs")["probs"][:train].to(job.device)
    embeddings = job.run.read(Stage.EMBED, "embeddings")["embeddings"][:train].to(job.device)
    method = selection(config)
    voters = min(method.neighbors, train)
    if voters < method.neighbors:
        job.track.warn(f"only {train} images: `neighbors` is {voters}, not {method.neighbors}")
    job.log.clear()
    started = time.monotonic()
    neighbors, quality = _neighbors(job, embeddings.float(), voters)
    verdict = method(neighbors, probs)
    found = select(
        verdict,
        probs,
        balance=method.balance,
        min_per_cluster=config.min_per_cluster,
        generator=job.generator(),
    )
    kept = counts(found.label, probs.shape[1])
    members = counts(probs.argmax(1), probs.shape[1])
    job.track.say(
        f"{len(found.index):,} of {train:,} images are reliable; by cluster (of members):"
    )
    job.track.say(
        "  ".join(f"{c}: {a}/{b}" for c, (a, b) in enumerate(zip(kept, members, strict=True)))
    )
    missing = [cluster for cluster, count in enumerate(kept) if not count]
    if missing:
        raise InvalidError(
            f"no reliable sample in {len(missing)} of {len(kept)} clusters "
            f"({', '.join(map(str, missing))}), so `semi` could not learn them",
            hint=_relax(method.looser(), [int(members[cluster]) for cluster in missing]),
        )
    job.note(
        {
            "epoch": 1,
            "reliable": len(found.index),
            "least": int(kept.min()),
            "most": int(kept.max()),
            **verdict.notes,
            **quality,
            "seconds": round(time.monotonic() - started, 3),
        }
    )
    return {"index": found.index, "label": found.label, "consistency": found.consistency}


def selection(config: SelectReliable) -> Any:
    """Build the config's method of selecting.

    A method is a class with a `Config` whose instances have `neighbors`, how many nearest
    neighbours it looks at, the image itself included; `balance`; and `looser()`, settings that
    keep more, if there are any. Called with neighbours (n, v) and probs (n, k) they return a
    `Verdict`.
    """
    kind = load(SELECTIONS[config.method])
    return kind(kind.Config.model_validate(config.settings))


def _neighbors(
    job: Job[SelectReliable], embeddings: Tensor, voters: int
) -> tuple[Tensor, dict[str, JsonValue]]:
    """Find the neighbours (n, voters), and say what the log should know of how well."""
    kind, n = job.config.index, len(embeddings)
    if voters == 1:
        return torch.arange(n, device=embeddings.device)[:, None], {}
    if kind == "exact":
        with job.track.bar("select-reliable", n) as bar:
            return nearest(embeddings, voters, progress=bar.advance), {}
    if importlib.util.find_spec("faiss") is None:
        package = "faiss-gpu-cu12" if job.device.type == "cuda" else "faiss-cpu"
        raise MissingError(
            f"`index={kind}` needs faiss, which is not installed",
            hint=f"pip install {package}",
        )
    with job.track.bar("select-reliable", n) as bar:
        neighbors = nearly_nearest(embeddings, voters, kind, progress=bar.advance)
    drawn = torch.randperm(n, generator=job.generator("recall"), device=job.device)[:SAMPLE]
    share = recall(neighbors[drawn], nearest_of(embeddings, drawn, voters))
    job.track.say(f"`{kind}` found {share:.2%} of the nearest neighbours of {len(drawn)} images")
    return neighbors, {"index": kind, "recall": round(share, 4)}


def _relax(looser: dict[str, JsonValue], members: list[int]) -> str:
    if not all(members):
        return (
            "a cluster that `self-label` left empty has nothing to select; try fewer clusters, or "
            f"for `self-label` {setting(Stage.SELF_LABEL, entropy=1)}"
        )
    alone = setting(Stage.SELECT_RELIABLE, min_per_cluster=20, balance="none")
    every = f"; or for all: {setting(Stage.SELECT_RELIABLE, **looser)}" if looser else ""
    return f"relax for short clusters alone: {alone}{every}"


def reads(config: SelectReliable, run: Run) -> tuple[Stage, ...]:
    """Read the embeddings and the probabilities."""
    return (Stage.EMBED, Stage.SELF_LABEL)


WORK = Work(compute, reads)
