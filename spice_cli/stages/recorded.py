"""What a run's records say of how a stage computed."""

from typing import TypeVar

import torch
from pydantic import ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError, MissingError
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run

C = TypeVar("C", bound=Frozen)


def in_bf16(run: Run, stage: Stage, device: torch.device) -> bool:
    """Tell whether a stage computed in bf16, and the device can."""
    return run.record(stage).environment.precision == "bf16" and multiplies_bf16(device)


def no_network(run: Run, stage: Stage, lacks: str) -> MissingError:
    """Return the error that a stage left nothing that new images could go through."""
    return MissingError(
        f"`{stage}` was taken from a file that holds {lacks}, only what became of the run's images",
        hint=f"spice {stage} --force -r {quoted(run.path)}",
    )


def config_of(run: Run, stage: Stage, kind: type[C]) -> C:
    """Return the config of a finished stage; InvalidError where it is none."""
    try:
        return kind.model_validate(run.record(stage).config)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InvalidError(
            f"the manifest of `{run.path}` holds a config of `{stage}` whose `{key}` is wrong",
            hint=run.command(stage, force=True),
        ) from None
