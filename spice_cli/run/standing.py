"""How a stage of a run stands: finished and current, or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from spice_cli.run import artifact, files, siblings, stale
from spice_cli.run.manifest import Manifest, Stage

State = Literal["done", "stale", "missing", "unfinished", "broken"]


def stale_because(run: Path, manifest: Manifest, stage: Stage) -> str | None:
    """Say which input of a finished stage changed since; none where it is current."""
    if (record := manifest.stages.get(stage)) is None:
        return None
    reason = stale.stale_because(manifest, stage)
    return reason or siblings.changed_because(run, stage, record)


def state(run: Path, manifest: Manifest, stage: Stage, *, verify: bool = False) -> State:
    """Tell how a stage stands: from the size of its file, or with `verify` from its hash."""
    if (record := manifest.stages.get(stage)) is None:
        unfinished = artifact.checkpoint_file(run, stage).exists()
        return "unfinished" if unfinished else "missing"
    file = artifact.locate(run, record)
    if not file.is_file() or file.stat().st_size != record.size:
        return "broken"
    if verify and files.sha256(file) != record.sha256:
        return "broken"
    return "stale" if stale_because(run, manifest, stage) else "done"


def begun(run: Path, manifest: Manifest) -> bool:
    """Tell whether anything rests on what a run is about: a stage, or the checkpoint of one."""
    return any(state(run, manifest, stage) != "missing" for stage in Stage)


def up_to_date(
    run: Path,
    manifest: Manifest,
    stage: Stage,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int,
) -> bool:
    """Tell whether running a stage again would leave what is there, and that is intact."""
    record = manifest.stages.get(stage)
    wanted: tuple[JsonValue, ...] = (to_jsonable_python(config), dict(inputs), seed)
    if record is None or (record.config, record.inputs, record.seed) != wanted:
        return False
    return state(run, manifest, stage, verify=True) == "done"
