"""How the first process of a group has the others compute its stages with it."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from spice_cli.catalog import STAGES, load
from spice_cli.config.sections import SECTIONS
from spice_cli.errors import InvalidError, MissingError, ShortError, SpiceError, caused
from spice_cli.ops.collective import LostError
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.log import Unwritten
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.computing import computing
from spice_cli.stages.group import Group
from spice_cli.stages.images import images_of
from spice_cli.stages.job import Job, Work
from spice_cli.stages.peers import SHARED, leave, named, several_hosts
from spice_cli.stages.self_label import shared, takes_images
from spice_cli.track import Silent

GRACE = 5.0
"""Seconds that the first process has to say of a failure what the others would say as well."""


def call(group: Group, job: Job, deterministic: bool = False) -> None:  # type: ignore[type-arg]
    """Have the other processes compute this job too, if it is one to share."""
    if group.world == 1 or not _shared(job):
        return
    if _takes_images(job):
        images_of(job.run, job.track.say)
    job.group = group
    group.told(
        json.dumps(
            {
                "run": str(job.run.path.absolute()),
                "stage": job.stage,
                "config": job.config.model_dump(mode="json"),
                "seed": job.seed,
                "device": job.device.type,
                "precision": job.precision,
                "key": job.checkpoint.key,
                "inputs": _inputs(job.run, job.stage, job.config),
                "images": _takes_images(job),
                "deterministic": deterministic,
            }
        )
    )
    group.meet()


def dismiss(group: Group) -> None:
    """Let the other processes end, those that are still there."""
    with suppress(LostError):
        group.told("")


def serve(group: Group) -> None:
    """Compute what the first process asks for, and write nothing, until it lets go or is gone."""
    try:
        while message := group.told(""):
            _assist(group, json.loads(message))
    except LostError as error:
        time.sleep(GRACE)
        raise MissingError(f"{named(group.rank)} lost another: {error}") from None
    except (SpiceError, MemoryError, OSError) as error:
        told = error if isinstance(error, SpiceError) else caused(error)
        if told is None:
            raise
        text = f"{named(group.rank)}: {told}"
        leave(group.store, text)
        time.sleep(GRACE)
        apart = several_hosts() and isinstance(told, MissingError | InvalidError)
        own = isinstance(told, ShortError) or (told is not error and told.hint)
        raise type(told)(text, hint=SHARED if apart and not own else told.hint) from None


def _shared(job: Job) -> bool:  # type: ignore[type-arg]
    """Whether a stage works with a backbone, has several heads, or goes through all rows."""
    if job.stage is Stage.SELF_LABEL:
        return shared(job.config, job.run)
    if job.stage is Stage.SELECT_RELIABLE:
        return bool(job.config.index != "hnsw")
    return job.stage is not Stage.ASK


def _takes_images(job: Job) -> bool:  # type: ignore[type-arg]
    if job.stage is Stage.SELF_LABEL:
        return takes_images(job.config, job.run)
    return job.stage is not Stage.SELECT_RELIABLE


def _inputs(run: Run, stage: Stage, config: Any) -> dict[str, str]:
    work: Work = load(STAGES[stage])
    return run.inputs(*work.reads(config, run))


def _assist(group: Group, asked: dict[str, Any]) -> None:
    run, stage = Run.open(Path(asked["run"])), Stage(asked["stage"])
    config = SECTIONS[stage].model_validate(asked["config"])
    if _inputs(run, stage, config) != asked["inputs"]:
        raise InvalidError(f"what `{stage}` reads in `{run.path}` is not what the first one reads")
    job = Job(
        run=run,
        stage=stage,
        config=config,
        seed=int(asked["seed"]),
        device=group.device(torch.device(asked["device"])),
        precision=asked["precision"],
        track=Silent(),
        checkpoint=Checkpoint(run.path, stage, asked["key"]),
        log=Unwritten(run.path, stage),
        checkpoint_seconds=0.0,
        group=group,
    )
    if asked["images"]:
        images_of(run, job.track.say)
    group.meet()
    work: Work = load(STAGES[stage])
    with computing(stage, job.device, bool(asked["deterministic"])):
        work.compute(job)
