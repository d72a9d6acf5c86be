"""Runs beside each other in one family: which of them something was made of, and as they were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import SpiceError
from spice_cli.run.load import load_manifest
from spice_cli.run.manifest import Record, Sha256, Stage


class Family(Frozen):
    """What a record's `from` holds where the stage was made of the same stage of several runs."""

    members: Annotated[dict[str, Sha256], Field(min_length=1)]
    """The artifact of each, by the name of its run's directory beside this one."""


def family_of(record: Record) -> Family | None:
    """Return which runs a stage was made of; none where it was not made of runs."""
    try:
        return Family.model_validate(record.config.get("from"))
    except ValidationError:
        return None


def changed_because(run: Path, stage: Stage, record: Record) -> str | None:
    """Say which run of its family changed since a stage was made of it; those gone do not count."""
    family = family_of(record)
    members: Mapping[str, str] = family.members if family else {}
    for name, sha256 in members.items():
        try:
            source = load_manifest(run.resolve().parent / name).stages.get(stage)
        except SpiceError:
            continue
        if source is not None and source.sha256 != sha256:
            return f"`{stage}` of `{name}` changed"
    return None
