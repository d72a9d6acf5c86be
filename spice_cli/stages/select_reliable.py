"""Probabilities in, the labels worth trusting out: local consistency among neighbours."""

from torch import Tensor

from spice_cli.catalog import SELECTIONS, load
from spice_cli.config import SelectReliable
from spice_cli.errors import InvalidError
from spice_cli.ops.neighbors import nearest
from spice_cli.ops.reliable import counts
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Job, Work


def compute(job: Job[SelectReliable]) -> dict[str, Tensor]:
    """Select among the training rows; a cluster left with nothing is an `InvalidError`."""
    config, train = job.config, job.run.manifest.data.train
    probs = job.run.read(Stage.SELF_LABEL, "probs")["probs"][:train].to(job.device)
    embeddings = job.run.read(Stage.EMBED, "embeddings")["embeddings"][:train].to(job.device)
    voters = min(config.neighbors, train)
    if voters < config.neighbors:
        job.track.warn(f"only {train} images: `neighbors` is {voters}, not {config.neighbors}")
    with job.track.bar("select-reliable", train) as bar:
        neighbors = nearest(embeddings, voters, progress=bar.advance)
    found = load(SELECTIONS[config.method])(
        neighbors,
        probs,
        agreement=config.agreement,
        strict=config.strict,
        confidence=config.confidence,
        balance=config.balance,
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
            hint=_relax(config, [int(members[cluster]) for cluster in missing]),
        )
    return {"index": found.index, "label": found.label, "consistency": found.consistency}


def _relax(config: SelectReliable, members: list[int]) -> str:
    if not all(members):
        return (
            "a cluster that `self-label` left empty has nothing to select: fewer `--clusters`, or "
            "`spice self-label --set entropy=1`"
        )
    confidence = config.confidence or 0.0
    looser = f"`--agreement {max((config.agreement or 0.0) - 0.2, 0.1):.2f}`"
    if confidence:
        looser += f" or `--confidence {confidence - 0.2:.2f}`"
    return f"`--min-per-cluster 20` relaxes for these clusters alone; {looser} for all"


def reads(config: SelectReliable, run: Run) -> tuple[Stage, ...]:
    """Read the embeddings and the probabilities."""
    return (Stage.EMBED, Stage.SELF_LABEL)


WORK = Work(compute, reads)
