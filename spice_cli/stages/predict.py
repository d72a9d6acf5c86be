"""Which cluster of a run new images belong to, and how much they look like its images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spice_cli.config.frozen import Frozen, Share
from spice_cli.data.stream import Batch, Named, stream
from spice_cli.heads.apply import Cosines
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.edits import edited, has_splits
from spice_cli.stages.features import fitting
from spice_cli.stages.model import Model, OfUnitRows
from spice_cli.stages.placed import curation_of
from spice_cli.stages.restored import embedder_of, model_of
from spice_cli.stages.usual import pixels_of, usual
from spice_cli.track import Track

COLUMNS = ("path", "cluster", "name", "confidence", "distance", "unusual")
ROOM = 2**26
"""Bytes of pixels in a batch at most, on a GPU."""
TOGETHER = 128
"""Images in a batch at most, on a CPU."""
UNKNOWN: dict[str, Any] = dict.fromkeys(COLUMNS[1:])


class Predict(Frozen):
    """What a person may choose about predictions."""

    stage: Stage | None = None
    """Whose clusters; none: those of the furthest stage."""
    clusters: int | None = None
    """For k-means, where `embed` is the furthest."""
    share: Share = 0.99
    """Of the training images that count as usual; farther from its centre an image is not."""


@dataclass(frozen=True)
class Predicted:
    """What is said of b images; all on the CPU."""

    cluster: Tensor
    """(b,) int64, after merges and splits."""
    confidence: Tensor
    """(b,) float32 probability; by k-means on `embed` the cosine with its centre."""
    distance: Tensor
    """(b,) float32: one minus the cosine with the centre of the training images in the cluster."""
    unusual: Tensor
    """(b,) bool: farther from the centre than nearly all training images are from theirs."""


class Predictor:
    """A run's network, ready for images of `side` pixels."""

    def __init__(self, run: Run, device: torch.device, config: Predict, track: Track) -> None:
        """Put the network together; errors as in `model_of` and `images_of`."""
        stage = config.stage or newest(run)
        self.device = device
        self.model = model_of(run, device, stage=stage, clusters=config.clusters)
        self.side = self.model.side
        curation = curation_of(run, stage, config.clusters)
        self.edits, self.names = curation.edits, dict(curation.names)
        unit = isinstance(self.model.head, OfUnitRows)
        self.apart: Model | None = None
        if not unit and has_splits(self.edits):
            self.apart = embedder_of(run, device, torch.nn.Identity())
        head = self.model.head.head if unit else None
        self.centers = head.centers if stage is Stage.EMBED and isinstance(head, Cosines) else None
        found = usual(run, stage, self.model, clusters=config.clusters, unit=unit, track=track)
        self.usual, self.limit = found, found.beyond(config.share)

    def __call__(self, images: Tensor) -> Predicted:
        """Say it of images (b, 3, side, side) uint8."""
        moved = images.to(self.device)
        parts = [self._part(some) for some in torch.split(moved, fitting(len(moved), moved))]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Predicted(*map(torch.cat, columns))

    @torch.inference_mode()
    def _part(self, images: Tensor) -> Predicted:
        pixels = pixels_of(images, self.device)
        probs, features = self.model(pixels)
        if self.centers is not None:
            probs = features @ self.centers.T
        confidence, cluster = (each.cpu() for each in probs.max(1))
        rows = features.cpu()
        splitting = self.apart(pixels)[1].cpu() if self.apart is not None else rows
        cluster = edited(cluster, self.edits, splitting)
        distance = 1 - (rows * self.usual.centers[cluster]).sum(1)
        return Predicted(cluster, confidence, distance, distance > self.limit)


def predicted_rows(
    predictor: Predictor, images: Iterable[Named], batch: int
) -> Iterator[dict[str, Any]]:
    """Yield one row an image, in order, as they are found; of an unreadable one only its path.

    On a CPU every thread takes a batch through decoding and the network by itself: threads that
    share a batch wait for each other at every layer, and for those that decode.
    """
    threads, side = max(1, torch.get_num_threads()), predictor.side
    if predictor.device.type != "cpu":
        size = max(1, min(batch, ROOM // (3 * side**2)))
        for found in stream(images, side, size, lambda decoded: decoded, threads):
            yield from _told(predictor, found)
        return

    def alone(decoded: Batch) -> list[dict[str, Any]]:
        torch.set_num_threads(1)
        return list(_told(predictor, decoded))

    like = torch.empty(0, 3, side, side)
    try:
        for rows in stream(images, side, fitting(min(batch, TOGETHER), like), alone, threads):
            yield from rows
    finally:
        torch.set_num_threads(threads)


def _told(predictor: Predictor, batch: Batch) -> Iterator[dict[str, Any]]:
    told = _rows(predictor, batch.images) if len(batch.images) else iter(())
    for name, readable in zip(batch.names, batch.readable, strict=True):
        yield {"path": name, **(next(told) if readable else UNKNOWN)}


def _rows(predictor: Predictor, images: Tensor) -> Iterator[dict[str, Any]]:
    found = predictor(images)
    columns = (found.cluster, found.confidence, found.distance, found.unusual)
    for cluster, confidence, distance, unusual in zip(*map(Tensor.tolist, columns), strict=True):
        yield {
            "cluster": cluster,
            "name": predictor.names.get(cluster, ""),
            "confidence": round(confidence, 6),
            "distance": round(distance, 6),
            "unusual": unusual,
        }
