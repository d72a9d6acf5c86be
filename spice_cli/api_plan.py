"""Which stages a run goes through that was started from Python, and with what settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from spice_cli.config.frozen import Frozen
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.settings.typed import asked
from spice_cli.stages.count_clusters import count_clusters, summary, unevident
from spice_cli.stages.imports import adopt
from spice_cli.stages.perform import choose_device, perform
from spice_cli.stages.planned import planned
from spice_cli.stages.pretrained import adopt_pretrained, find_pretrained
from spice_cli.track import Track

Settings = Mapping[str, Mapping[str, JsonValue]]
Until = Literal["self-label", "semi"]


@dataclass(frozen=True)
class Plan:
    """Which stages a run goes through, and with what."""

    clusters: int | None
    """None: estimated once there are features."""
    method: str | None
    backbone: str | None
    trained: bool
    """Whether others trained the backbone."""
    settings: Settings
    until: Until | None
    minutes: float | None
    device: str
    track: Track

    def complete(self, run: Run, source: Path) -> Stage:
        """Bring the stages up to date and return the last; the caller holds the run's lock."""
        first, seed = Stage.PRETRAIN, run.manifest.seed
        if run.manifest.data.spec is None:
            adopt(run, Stage.EMBED, source, Frozen(), seed=seed, track=self.track)
            first = Stage.SELF_LABEL
        else:
            if run.manifest.recipe.name == "defaults" and not self.settings:
                run.change(recipe=self._picked(run))
            if self.trained and self.backbone is not None:
                found = find_pretrained(self.backbone, None, self.track.say)
                adopt_pretrained(run, found, seed=seed, track=self.track, force=False)
                first = Stage.EMBED
        usual = Stage.SEMI if first is Stage.PRETRAIN else Stage.SELF_LABEL
        last = Stage(self.until or run.manifest.recipe.until or usual)
        order, plan = list(Stage), self
        for stage in order[order.index(first) : order.index(last) + 1]:
            if stage is Stage.SELF_LABEL and self.clusters is None:
                plan = replace(self, clusters=self._counted(run))
            plan._perform(run, stage)
        return last

    def _counted(self, run: Run) -> int:
        """Return the estimate of the number of clusters, and say it."""
        device = choose_device(self.device)
        found = count_clusters(
            run, seed=run.manifest.seed, most=None, device=device, track=self.track
        )
        for line in summary(found):
            self.track.say(line)
        if not found.evident:
            self.track.warn(unevident(found))
        return found.taken

    def _perform(self, run: Run, stage: Stage) -> None:
        section = run.manifest.recipe.sections.get(stage)
        config = stage_config(stage, section, self._flags(stage), (), self.track.say)
        perform(
            run,
            stage,
            config,
            seed=run.manifest.seed,
            device=choose_device(self.device),
            track=self.track,
            asked=asked(self._flags(stage)),
        )

    def _flags(self, stage: Stage) -> dict[str, Any]:
        named: dict[Stage, dict[str, Any]] = {
            Stage.PRETRAIN: {"backbone": self.backbone, "clusters": self.clusters},
            Stage.SELF_LABEL: {"method": self.method, "clusters": self.clusters},
        }
        given = {key: value for key, value in named.get(stage, {}).items() if value is not None}
        return {**self.settings.get(stage, {}), **given}

    def _picked(self, run: Run) -> Recipe:
        """Return settings for the run's images, as `spice run` picks them."""
        recipe = planned(
            run,
            choose_device(self.device),
            lambda section: stage_config("pretrain", section, {}),
            self.track,
            clusters=self.clusters,
            backbone=None if self.trained else self.backbone,
            trained=self.trained,
            minutes=self.minutes,
        )
        for reason in recipe.reasons:
            self.track.say(reason)
        return recipe
