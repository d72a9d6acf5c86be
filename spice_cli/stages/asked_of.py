"""The clusters that questions are about: those of the furthest stage before `ask`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.heads.kmeans import KMeansConfig
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.images import images_of
from spice_cli.stages.placed import centers_of
from spice_cli.stages.restored import has_network, model_of
from spice_cli.stages.usual import features_of
from spice_cli.track import Track


@dataclass(frozen=True)
class Asked:
    """All n images of a run."""

    stage: Stage
    scores: Tensor
    """(n, k) log-probabilities; by k-means on `embed` of the cosines, as its head has them."""
    features: Tensor
    """(n, d) unit rows."""
    network: bool
    """Whether these are of the network that the stage trained, not the embeddings."""
    embeddings: Tensor | None
    """(train, d) of the training images, for what was split."""
    paths: tuple[str, ...]
    root: str

    @property
    def reads(self) -> tuple[Stage, ...]:
        """Return what is made of it reads."""
        own = () if self.network or self.stage is Stage.EMBED else (Stage.EMBED,)
        return (*own, self.stage)


def asked_of(run: Run, device: torch.device, track: Track, *, stored: bool = False) -> Asked:
    """Read them, and the features to compare images by.

    Where a stage trained the network, those are its own, else the embeddings; with `stored` these
    wherever there are any, which takes no time.

    Raises:
        MissingError: there is no stage that clusters, or nothing to compare images by.
        UsageError: only `embed` is there, and nobody knows how many clusters to look for.
        InvalidError: what is stored is stale or damaged.
    """
    stage = newest(run, before=Stage.ASK)
    data, known = run.manifest.data, Stage.EMBED in run.manifest.stages
    images = images_of(run, track.say) if data.spec is not None else None
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"].float() if known else None
    if stage is Stage.EMBED and rows is not None:
        cosines = rows @ centers_of(run, None).T
        scores = (cosines / KMeansConfig().temperature).log_softmax(1)
    else:
        scores = run.read(stage, "probs")["probs"].float().clamp(min=1e-30).log()
    fast = stored and rows is not None
    network = not fast and images is not None and has_network(run, stage)
    if network and images is not None:
        model = model_of(run, device, stage=stage)
        features = features_of(model, images.images, track)
    elif rows is not None:
        features = rows
    else:
        raise MissingError(
            f"`{run.path}` has no embeddings to compare images by", hint=run.command(Stage.EMBED)
        )
    n = data.train + data.test
    word = "row" if images is None else "image"
    paths = images.paths if images is not None else None
    return Asked(
        stage=stage,
        scores=scores,
        features=features,
        network=network,
        embeddings=rows[: data.train] if rows is not None else None,
        paths=tuple(paths or (f"{word} {row}" for row in range(n))),
        root=data.name,
    )
