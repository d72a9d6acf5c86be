"""A run as its report looks at it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.run.curation import load_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import Assignments, assignments
from spice_cli.stages.images import images_of
from spice_cli.track import Track


@dataclass(frozen=True)
class Scene:
    """Images, where they are known, and the clusters that one stage put them in."""

    run: Run
    stage: Stage
    found: Assignments
    names: dict[int, str]
    """Of clusters that were given one."""
    shown: Sequence[int]
    """All clusters but those that a merge emptied."""
    images: Tensor | None
    """(n, 3, h, w) uint8; None for a run that began with embeddings."""
    paths: Sequence[str]
    embeddings: Tensor | None
    """(n, d) unit rows; None where there are none, or stale ones."""

    @property
    def measure(self) -> str:
        """Name what tells how well an image belongs."""
        return "confidence" if self.found.probability else "cosine"

    def title(self, cluster: int) -> str:
        """Return a cluster's number, and its name where it has one."""
        return f"{cluster} {self.names[cluster]}" if cluster in self.names else f"cluster {cluster}"


def scene(run: Run, stage: Stage, clusters: int | None, track: Track) -> Scene:
    """Read what a report shows of a stage's clusters.

    Errors as in `assignments`, `load_curation` and `images_of`.
    """
    found = assignments(run, stage, clusters)
    curation = load_curation(run.path, run.record(stage).sha256)
    known = Stage.EMBED in run.manifest.stages and not run.stale_because(Stage.EMBED)
    loaded = images_of(run, track.say) if run.manifest.data.spec is not None else None
    n = run.manifest.data.train + run.manifest.data.test
    word = "row" if loaded is None else "image"
    paths = loaded.paths if loaded is not None else None
    return Scene(
        run=run,
        stage=stage,
        found=found,
        names=dict(curation.names),
        shown=found.numbers,
        images=loaded.images if loaded is not None else None,
        paths=paths or [f"{word} {row}" for row in range(n)],
        embeddings=_embeddings(run) if known else None,
    )


def _embeddings(run: Run) -> Tensor:
    stored = run.read(Stage.EMBED, "embeddings")["embeddings"]
    return torch.nn.functional.normalize(stored.float(), dim=1)
