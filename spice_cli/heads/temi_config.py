"""TEMI's own settings, and what follows from the size of a data set."""

from typing import Annotated

from pydantic import Field

from spice_cli.config.frozen import Count, Frozen, Positive, Share

LEAST = 20
"""Updates an epoch at least: images of small sets are paired several times."""


class TemiConfig(Frozen):
    """Settings of `temi` alone."""

    neighbors: Count | None = None
    """Nearest neighbours of which one is an image's partner, the image not among them. None: 50,
    or if that is less, half as many as there are images a cluster."""
    beta: Annotated[float, Field(gt=0, le=1)] = 0.6
    """1 is mutual information, which few large clusters raise too; less keeps them even."""
    temperature: Positive = 0.1
    teacher_temperature: Positive = 0.1
    ema: Share | None = None
    """Share of the past in a teacher's weights. None: what remembers one epoch, at most .996."""
    share_ema: Share = 0.9
    """Share of the past in the running mean of a teacher's outputs."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    hidden: Count | None = None
    """Width of a hidden layer; none: cosines with one unit vector a cluster."""

    def nearest(self, images: int, clusters: int) -> int:
        """Return how many neighbours an image has, in that many images."""
        even = max(1, min(50, images // (2 * clusters)))
        return min(self.neighbors or even, images - 1)

    def remembers(self, updates: int) -> float:
        """Return the teacher's share of the past where an epoch has that many updates."""
        return min(0.996, 1 - 1 / updates) if self.ema is None else self.ema
