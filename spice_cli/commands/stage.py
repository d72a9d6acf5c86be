"""What the commands of the stages share: find the run, build the config, run the stage, print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spice_cli.console import Terminal, emit, say

if TYPE_CHECKING:
    from spice_cli.run.store import Run


@dataclass(frozen=True)
class How:
    """How a stage is to be run, whatever stage it is."""

    seed: int | None = None
    device: str = "auto"
    checkpoint_seconds: float = 20.0
    force: bool = False
    as_json: bool = False
    balance: str | None = None
    """`none`: clusters may be of any size."""
    deterministic: bool = False

    def flags(
        self, run: "Run", stage: str, flags: Mapping[str, Any], sets: Sequence[str] | None
    ) -> dict[str, Any]:
        """Return the flags of a stage, with what follows from `balance` where they do not say."""
        from spice_cli.settings.configs import uneven

        given = {key: value for key, value in flags.items() if value is not None}
        if self.balance != "none":
            return given
        section = run.manifest.recipe.sections.get(stage)
        found = uneven(stage, section, given, sets or ())
        if stage == "self-label" and not found:
            say("these heads have no setting for uneven clusters: `--balance none` changes nothing")
        return {**found, **given}


def run_stage(
    run: "Run",
    name: str,
    flags: Mapping[str, Any],
    sets: Sequence[str] | None,
    how: How,
    source: Path | None = None,
) -> None:
    """Bring one stage up to date, or take its output from `source`."""
    from spice_cli.run.manifest import Stage
    from spice_cli.settings.configs import stage_config
    from spice_cli.settings.typed import asked
    from spice_cli.stages.imports import adopt
    from spice_cli.stages.perform import choose_device, perform

    stage = Stage(name)
    track = Terminal()
    section = run.manifest.recipe.sections.get(name)
    flags = how.flags(run, name, flags, sets)
    config = stage_config(name, section, flags, sets or (), track.say)
    seed = run.manifest.seed if how.seed is None else how.seed
    with run.lock():
        if source is not None:
            adopt(run, stage, source, config, seed=seed, track=track)
            return
        perform(
            run,
            stage,
            config,
            seed=seed,
            device=choose_device(how.device),
            track=track,
            checkpoint_seconds=how.checkpoint_seconds,
            force=how.force,
            asked=asked(flags, sets or ()),
            deterministic=how.deterministic,
        )


def finish(run: "Run", name: str, how: How) -> None:
    """Print the run's path, or as JSON the stage's record."""
    from spice_cli.run.manifest import Stage

    record = run.manifest.stages[Stage(name)]
    emit(record.model_dump(mode="json") if how.as_json else run.path, as_json=how.as_json)
