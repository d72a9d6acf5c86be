"""How the first process of a group has the others compute its stages with it."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from spice_cli.catalog import STAGES, load
from spice_cli.config import SECTIONS
from spice_cli.errors import MissingError, SpiceError
from spice_cli.ops.collective import LostError
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.log import Unwritten
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.computing import computing
from spice_cli.stages.group import Group
from spice_cli.stages.images import images_of
from spice_cli.stages.job import Job, Work
from spice_cli.track import Silent

GRACE = 5.0
"""Seconds that the first process has to say of a failure what the others would say as well."""


def call(group: Group, job: Job, deterministic: bool = False) -> None:  # type: ignore[type-arg]
    """Have the other processes compute this job too, if it is one to share."""
    if group.world == 1 or not _shared(job):
        return
    if job.stage is not Stage.SELECT_RELIABLE:
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
                "deterministic": deterministic,
            }
        )
    )


def dismiss(group: Group) -> None:
    """Let the other processes end."""
    group.told("")


def serve(group: Group) -> None:
    """Compute what the first process asks for, and write nothing, until it lets go or is gone."""
    try:
        while message := group.told(""):
            _assist(group, json.loads(message))
    except LostError as error:
        time.sleep(GRACE)
        raise MissingError(f"process {group.rank} lost another: {error}") from None
    except SpiceError as error:
        time.sleep(GRACE)
        raise type(error)(f"process {group.rank}: {error}", hint=error.hint) from None


def _shared(job: Job) -> bool:  # type: ignore[type-arg]
    """Whether a stage works with a backbone, or compares images with images."""
    work: Work = load(STAGES[job.stage])
    if job.stage is Stage.SELF_LABEL:
        return Stage.PRETRAIN in work.reads(job.config, job.run)
    if job.stage is Stage.SELECT_RELIABLE:
        shared: bool = job.config.index != "hnsw"
        return shared
    return job.stage is not Stage.ASK


def _assist(group: Group, asked: dict[str, Any]) -> None:
    run, stage = Run.open(Path(asked["run"])), Stage(asked["stage"])
    job = Job(
        run=run,
        stage=stage,
        config=SECTIONS[stage].model_validate(asked["config"]),
        seed=int(asked["seed"]),
        device=group.device(torch.device(asked["device"])),
        precision=asked["precision"],
        track=Silent(),
        checkpoint=Checkpoint(run.path, stage, asked["key"]),
        log=Unwritten(run.path, stage),
        checkpoint_seconds=0.0,
        group=group,
    )
    work: Work = load(STAGES[stage])
    with computing(stage, job.device, bool(asked["deterministic"])):
        work.compute(job)
