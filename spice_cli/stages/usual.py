"""How near training images are to their cluster's centre, and so how far is unusual."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.errors import SpiceError
from spice_cli.run.files import replacing
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.run.tensors import load, save
from spice_cli.stages.features import fitting
from spice_cli.stages.images import images_of
from spice_cli.stages.model import Model
from spice_cli.stages.placed import curation_of, placed
from spice_cli.track import Track

FILE = "predict.safetensors"
LOOKED_AT = 10_000
BATCH = 512


@dataclass(frozen=True)
class Usual:
    """What is usual among the training images."""

    centers: Tensor
    """(k, d) unit mean features of each cluster's images; zero for a cluster without any."""
    distances: Tensor
    """(m,) ascending: one minus the cosine of each image with the centre of its own cluster."""

    def beyond(self, share: float) -> float:
        """Return the distance that this share of the training images is within."""
        return float(self.distances.quantile(share))


def usual(
    run: Run, stage: Stage, model: Model, *, clusters: int | None, unit: bool, track: Track
) -> Usual:
    """Return what is usual by a stage's network, of at most 10,000 training images.

    It is found once and kept in the run's `predict.safetensors`, for this stage as it is and with
    the clusters that a person made. Where the network is that of the embeddings (`unit`), they are
    taken; else the images go through it.
    """
    key = _key(run, stage, clusters)
    file = run.path / FILE
    with suppress(SpiceError):
        kept = load(file)
        if kept.metadata.get("of") == key:
            return Usual(kept.tensors["centers"], kept.tensors["distances"])
    train = run.manifest.data.train
    rows = torch.arange(train)
    if train > LOOKED_AT:
        rows = torch.randperm(train, generator=torch.Generator().manual_seed(0))[:LOOKED_AT]
    features = (
        run.read(Stage.EMBED, "embeddings")["embeddings"][rows].float()
        if unit
        else features_of(model, images_of(run, track.say).images[rows], track)
    )
    found = placed(run, stage, clusters)
    measured = _measured(features, found.cluster[rows], found.clusters)
    tensors = {"centers": measured.centers, "distances": measured.distances}
    with suppress(SpiceError), run.lock(), replacing(file) as partial:
        save(partial, tensors, {"of": key})
    return measured


@torch.inference_mode()
def features_of(model: Model, images: Tensor, track: Track) -> Tensor:
    """Return the unit features (n, d) on the CPU of images (n, 3, h, w) uint8."""
    device, parts = model.scale.device, []
    with track.bar("predict: training images", len(images)) as bar:
        for part in torch.split(images, fitting(BATCH, images)):
            parts.append(model(pixels_of(part, device))[1].cpu())
            bar.advance(len(part))
    return torch.cat(parts)


def pixels_of(images: Tensor, device: torch.device) -> Tensor:
    """Return images (b, 3, h, w) uint8 as `Model` takes them, channels last."""
    moved = images.to(device).contiguous(memory_format=torch.channels_last)
    return moved.float().div_(255)


def _measured(features: Tensor, cluster: Tensor, clusters: int) -> Usual:
    sums = torch.zeros(clusters, features.shape[1]).index_add_(0, cluster, features)
    centers = F.normalize(sums)
    distances = 1 - (features * centers[cluster]).sum(1)
    return Usual(centers, distances.sort().values)


def _key(run: Run, stage: Stage, clusters: int | None) -> str:
    edits = [edit.model_dump_json() for edit in curation_of(run, stage, clusters).edits]
    text = "/".join([stage, run.record(stage).sha256, str(clusters), *edits])
    return hashlib.sha256(text.encode()).hexdigest()
