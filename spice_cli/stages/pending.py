"""Which stages of a run are still to be done, and why those that it has are to be done again."""

from collections.abc import Mapping
from typing import Any

from spice_cli.catalog import STAGES, load
from spice_cli.errors import SpiceError
from spice_cli.run.manifest import Record, Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Work
from spice_cli.stages.origin import network_of

DONE = ("up to date", "taken from a file", "pretrained")
"""States of stages that take nothing."""
MOST = 3
"""Settings that are named."""
UNSET = object()


def pending(run: Run, configs: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Say of each stage, in order, if it is one of `DONE`, `to do`, or to `redo` and why."""
    out: dict[str, str] = {}
    for name, config in configs.items():
        above = next((each for each, state in out.items() if state not in DONE), None)
        out[name] = _state(run, Stage(name), config, seed, above)
    return out


def _state(run: Run, stage: Stage, config: Any, seed: int, above: str | None) -> str:
    record = run.manifest.stages.get(stage)
    if record is None:
        return "to do"
    if above is None and record.imported and run.state(stage) == "done":
        ours = stage is Stage.PRETRAIN and network_of(run.manifest)
        return "pretrained" if ours else "taken from a file"
    work: Work = load(STAGES[stage])
    try:
        settled = work.resolve(config, run)
        inputs = run.inputs(*work.reads(settled, run))
    except SpiceError as error:
        return f"redo: {error}"
    wanted = settled.model_dump(mode="json")
    if above is None and run.up_to_date(stage, wanted, inputs, seed):
        return DONE[0]
    return f"redo: {_why(run, stage, record, wanted, seed, above)}"


def _why(
    run: Run,
    stage: Stage,
    record: Record,
    wanted: Mapping[str, Any],
    seed: int,
    above: str | None,
) -> str:
    changed = _changed(record.config, wanted) if not record.imported else []
    if record.seed != seed:
        changed.append(f"seed {record.seed} -> {seed}")
    if changed:
        return ", ".join(changed[:MOST]) + (", ..." if changed[MOST:] else "")
    if above is not None:
        return f"after `{above}`"
    return run.stale_because(stage) or f"its file is {run.state(stage, verify=True)}"


def _changed(before: Any, after: Any, at: str = "") -> list[str]:
    """Spell the settings that differ, those of nested tables by the path to them."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [*after, *(key for key in before if key not in after)]
        each = ((key, before.get(key, UNSET), after.get(key, UNSET)) for key in keys)
        pre = f"{at}." if at and at != "settings" else ""
        return [text for key, old, new in each for text in _changed(old, new, f"{pre}{key}")]
    return [] if before == after else [f"{at} {_told(before)} -> {_told(after)}"]


def _told(value: Any) -> str:
    if value is UNSET:
        return "unset"
    text = "none" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:17]}..."
