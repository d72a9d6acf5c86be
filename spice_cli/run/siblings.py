"""Runs beside each other in one family: which of them something was made of, and as they were."""

from pathlib import Path

from spice_cli.errors import SpiceError
from spice_cli.run.load import load_manifest
from spice_cli.run.manifest import Record, Stage


def changed_because(run: Path, stage: Stage, record: Record) -> str | None:
    """Say which run of its family changed since a stage was made of it.

    Those that are gone, and links in their places, do not count: nothing but what lies beside a run
    is read for it.
    """
    for name, sha256 in (record.family.members if record.family else {}).items():
        sibling = run.resolve().parent / name
        if sibling.is_symlink():
            continue
        try:
            source = load_manifest(sibling).stages.get(stage)
        except SpiceError:
            continue
        if source is not None and source.sha256 != sha256:
            return f"`{stage}` of `{name}` changed"
    return None
