"""Run one stage: skip it if it is up to date, compute it, store what it left."""

import platform
from collections.abc import Mapping

import torch
from pydantic import JsonValue

from spice_cli import __version__
from spice_cli.catalog import STAGES, load
from spice_cli.config.frozen import Frozen
from spice_cli.errors import CollapsedError, MissingError, UsageError
from spice_cli.ops.collective import LostError
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.run.checkpoint import Checkpoint, fingerprint
from spice_cli.run.log import Log
from spice_cli.run.manifest import Environment, Stage
from spice_cli.run.redo import Redo
from spice_cli.run.store import Run
from spice_cli.stages.assist import call
from spice_cli.stages.computing import computing
from spice_cli.stages.images import spec_of
from spice_cli.stages.job import Job, Work
from spice_cli.stages.join import current
from spice_cli.stages.peers import reason
from spice_cli.stages.restarts import asked_anew
from spice_cli.track import Track

KEPT = "`{}` was taken from a file and stays as it is; `--force` replaces it"


def perform(
    run: Run,
    stage: Stage,
    config: Frozen,
    *,
    seed: int,
    device: torch.device,
    track: Track,
    checkpoint_seconds: float = 20.0,
    force: bool = False,
    asked: Mapping[str, JsonValue] | None = None,
    deterministic: bool = False,
) -> bool:
    """Bring one stage up to date; return whether there was anything to do.

    The caller holds the run's lock. `asked` are the settings that were given beside the recipe's.
    """
    record = run.manifest.stages.get(stage)
    redo = Redo(run.path, stage, record)
    if force:
        force = asked_anew(run, stage, redo)
    imported = not force and record is not None and record.imported
    kept = imported and run.state(stage, verify=True) == "done"
    if kept and not redo.mark.exists():
        track.say(KEPT.format(stage))
        return False
    if stage in (Stage.PRETRAIN, Stage.EMBED, Stage.SEMI):
        spec_of(run)
    work: Work = load(STAGES[stage])
    config = work.resolve(config, run)
    inputs = run.inputs(*work.reads(config, run))
    resolved = config.model_dump(mode="json")
    group = current()
    device = group.device(device)
    precision = choose_precision(getattr(config, "precision", "fp32"), device)
    key = fingerprint(
        config=resolved,
        inputs=inputs,
        seed=seed,
        device=device.type,
        precision=precision,
        threads=torch.get_num_threads() if device.type == "cpu" else 0,
        spice=__version__,
        torch=torch.__version__,
        **({"deterministic": True} if deterministic else {}),
    )
    checkpoint = Checkpoint(run.path, stage, key)
    if force:
        checkpoint.discard()
    elif redo.begun(key):
        track.say(f"`{stage}` was being computed anew, which goes on")
    elif kept or run.up_to_date(stage, resolved, inputs, seed):
        checkpoint.discard()
        redo.forget()
        track.say(KEPT.format(stage) if kept else f"`{stage}` is up to date")
        return False
    redo.begin(key)
    job = Job(
        run=run,
        stage=stage,
        config=config,
        seed=seed,
        device=device,
        precision=precision,
        track=track,
        checkpoint=checkpoint,
        log=Log(run.path, stage, again=record is not None),
        checkpoint_seconds=checkpoint_seconds,
    )
    try:
        with computing(stage, device, deterministic):
            call(group, job, deterministic)
            tensors = work.compute(job)
    except CollapsedError:
        redo.abandon()
        raise
    except LostError as error:
        raise MissingError(
            f"`{stage}` lost a process that computed with it: {reason(group.store) or error}",
            hint="what it said itself stands above; the same command goes on where it can",
        ) from None
    run.write(
        stage,
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        config=resolved,
        asked=asked,
        inputs=inputs,
        seed=seed,
        environment=environment(device, precision, job.group.world, deterministic),
        seconds=job.seconds,
    )
    Redo(run.path, stage, run.record(stage)).settle()
    track.say(f"`{stage}` done in {job.seconds:.1f} s, wrote {run.path / stage}.safetensors")
    return True


def environment(
    device: torch.device, precision: str, world: int = 1, deterministic: bool = False
) -> Environment:
    """Return what this process computes with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Environment(
        spice=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        device=name,
        precision=precision,
        world_size=world,
        deterministic=deterministic,
    )


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device that is there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise ValueError(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError):
        raise UsageError(f"there is no device `{name}` here", hint="--device auto") from None
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """Turn `auto` into `bf16` where the hardware multiplies it, else `fp32`."""
    if name != "auto":
        return name
    return "bf16" if multiplies_bf16(device) else "fp32"
