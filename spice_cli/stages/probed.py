"""What the probes of `evaluate` are given, and what they give."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.catalog import PROBES, load
from spice_cli.run.store import Run
from spice_cli.stages.scores import Average
from spice_cli.track import Track

Found = tuple[dict[str, float], str]
"""Scores by name, none where too few labels are known; and how they came about."""


@dataclass(frozen=True)
class Probed:
    """Embeddings and what is known of their classes."""

    run: Run
    embeddings: Tensor
    """(n, d) unit rows of all images."""
    labels: Tensor
    """(n,) int64, -1 where unknown."""
    average: Average
    """Mean of the entropies in NMI."""
    clusters: int | None
    """How many k-means is to look for; none: as many as the run has."""
    track: Track

    @property
    def whole(self) -> bool:
        """Whether all images count, not the test images alone."""
        return self.run.manifest.data.protocol == "whole"

    def sides(self) -> tuple[Tensor, Tensor]:
        """Return which images (n,) bool teach and which are asked; under `whole` the same."""
        known = self.labels >= 0
        if self.whole:
            return known, known
        first = torch.arange(len(known)) < self.run.manifest.data.train
        return known & first, known & ~first


def probe(probed: Probed, names: tuple[str, ...]) -> tuple[dict[str, float], list[str]]:
    """Return what each probe of `names` found, and a note on each."""
    scores, notes = dict[str, float](), []
    for name in names:
        found, note = load(PROBES[name])(probed)
        scores |= found
        notes.append(f"{name}: {note if found else 'too few labels are known'}")
    return scores, notes
