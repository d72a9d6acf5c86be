"""What `spice run` was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spice_cli.catalog import STAGES
from spice_cli.commands.pretrained import Wanted
from spice_cli.commands.stage import How

if TYPE_CHECKING:
    from spice_cli.run.manifest import Recipe
    from spice_cli.stages.pretrained import Found

COUNTED = ("pretrain", "self-label")
"""Stages that are told the number of clusters."""


@dataclass(frozen=True)
class Pipeline:
    """What `spice run` was asked for, whether once or once a seed."""

    dataset: str
    recipe: str | None
    about: Mapping[str, Any]
    """Flags about the data set."""
    clusters: int | None
    until: str | None
    sets: Mapping[str, list[str]]
    """`--set` of each stage."""
    how: How
    backbone: str | None = None
    """One to train; `network` is one that others trained."""
    network: Wanted | None = None
    auto: bool = False
    """Whether the number of clusters is estimated once there are features."""
    minutes: float | None = None
    """The time that settings are picked for, where no recipe has any."""
    picked: "Recipe | None" = None
    """Those settings, once they are picked."""
    dry: bool = False
    """Whether nothing is to be done."""
    found: "Found | None" = None
    """The network of `network`, where the run has not got it yet."""

    @property
    def stages(self) -> list[str]:
        """The stages to run, in order."""
        order = list(STAGES)
        return order[: order.index(self.until) + 1] if self.until else order

    def flags(self, stage: str) -> dict[str, Any]:
        """Return what flags say of a stage."""
        counted = {"clusters": self.clusters} if stage in COUNTED else {}
        named = self.backbone and stage == "pretrain"
        return {**counted, "backbone": self.backbone} if named else counted
