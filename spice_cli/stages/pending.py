"""Which stages of a run are still to be done."""

from collections.abc import Mapping
from typing import Any

from spice_cli.catalog import STAGES, load
from spice_cli.errors import SpiceError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.job import Work


def pending(run: Run, configs: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Say of each stage, in order, if it is `up to date`, `to do` or `taken from a file`."""
    out: dict[str, str] = {}
    for name, config in configs.items():
        before = all(state != "to do" for state in out.values())
        out[name] = _state(run, Stage(name), config, seed) if before else "to do"
    return out


def _state(run: Run, stage: Stage, config: Any, seed: int) -> str:
    record = run.manifest.stages.get(stage)
    if record is None:
        return "to do"
    if record.imported and run.state(stage) == "done":
        return "taken from a file"
    work: Work = load(STAGES[stage])
    try:
        settled = work.resolve(config, run)
        inputs = run.inputs(*work.reads(settled, run))
    except SpiceError:
        return "to do"
    wanted = settled.model_dump(mode="json")
    return "up to date" if run.up_to_date(stage, wanted, inputs, seed) else "to do"
