"""Probabilities in, the labels worth trusting out."""

import time
from collections.abc import Mapping

from pydantic import JsonValue
from torch import Tensor

from spice_cli.catalog import SELECTIONS, load
from spice_cli.config.select_reliable import SelectReliable
from spice_cli.errors import InvalidError
from spice_cli.ops.judged import Selection, judged
from spice_cli.ops.reliable import counts, select
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Job, Work, setting
from spice_cli.stages.neighborhoods import searching

COMPARED = 2_000_000
"""Images up to which all are compared with all: ImageNet's, in half an hour of two cores."""


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
    search, quality = searching(job, embeddings.float(), voters)
    with job.track.bar("select-reliable", train) as bar:
        verdict = judged(
            method,
            search,
            voters,
            probs,
            lambda rows: bar.advance(rows * job.group.world),
            rows=job.group.rows(train, job.device),
            complete=job.group.sum,
        )
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


def selection(config: SelectReliable) -> Selection:
    """Build the config's method of selecting."""
    kind = load(SELECTIONS[config.method])
    method: Selection = kind(kind.Config.model_validate(config.settings))
    return method


def _relax(looser: Mapping[str, JsonValue], members: list[int]) -> str:
    if not all(members):
        return (
            "a cluster that `self-label` left empty has nothing to select; try fewer clusters, or "
            f"for `self-label` {setting(Stage.SELF_LABEL, entropy=1)}"
        )
    alone = setting(Stage.SELECT_RELIABLE, min_per_cluster=20, balance="none")
    every = f"; or for all: {setting(Stage.SELECT_RELIABLE, **looser)}" if looser else ""
    return f"relax for short clusters alone: {alone}{every}"


def resolve(config: SelectReliable, run: Run) -> SelectReliable:
    """Settle how neighbours are found."""
    if config.index != "auto":
        return config
    index = "exact" if run.manifest.data.train <= COMPARED else "ivf"
    return config.model_copy(update={"index": index})


def reads(config: SelectReliable, run: Run) -> tuple[Stage, ...]:
    """Read the embeddings and the probabilities."""
    return (Stage.EMBED, Stage.SELF_LABEL)


WORK = Work(compute, reads, resolve)
