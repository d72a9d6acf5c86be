"""The pictures of a report's galleries, each of them once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spice_cli.report.sprite import Sprite, sprite, thumbnails
from spice_cli.stages.scene import Scene

SMALLEST, LARGEST = 32, 96
"""Sides of a picture in pixels: an image's own, within these."""


class Album:
    """Pictures in the order in which they were asked for, with a caption each."""

    def __init__(self, scene: Scene) -> None:
        self.captions: list[str] = []
        self.side = 0
        if scene.images is not None:
            self.side = min(LARGEST, max(SMALLEST, *scene.images.shape[-2:]))
        self._scene = scene
        self._parts: list[Tensor] = []
        self._places: dict[int, int] = {}
        counted = scene.found.rows.tolist()
        belongs = zip(scene.found.cluster.tolist(), scene.found.confidence.tolist(), strict=True)
        self._belongs = dict(zip(counted, belongs, strict=True))

    def add(self, rows: Sequence[int]) -> list[int]:
        """Return the places of the images in these rows."""
        new = [row for row in dict.fromkeys(rows) if row not in self._places]
        if new:
            images = self._scene.images
            pictures = None if images is None else images[torch.tensor(new)]
            places = self.paint(pictures, [self.caption(row) for row in new])
            self._places |= dict(zip(new, places, strict=True))
        return [self._places[row] for row in rows]

    def paint(self, pictures: Tensor | None, captions: Sequence[str]) -> list[int]:
        """Return the places of other pictures (n, 3, h, w) uint8, or of captions alone."""
        start = len(self.captions)
        self.captions += captions
        if pictures is not None:
            self._parts.append(thumbnails(pictures, self.side))
        return list(range(start, len(self.captions)))

    def caption(self, row: int) -> str:
        """Say what is known of an image."""
        told = [self._scene.paths[row]]
        if row in self._belongs:
            cluster, sure = self._belongs[row]
            told += [self._scene.title(cluster), f"{self._scene.measure} {sure:.3f}"]
        return " · ".join(told)

    def sprite(self) -> Sprite | None:
        """Return them all as one picture; None where there are none."""
        return sprite(self._parts, len(self.captions), self.side) if self._parts else None
