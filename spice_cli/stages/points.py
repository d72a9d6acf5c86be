"""The map of a report: a point and a thumbnail for each image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.ops.projection import Projection, has_umap, project, quantized
from spice_cli.report.page import Points
from spice_cli.report.sprite import Sprite, sprite, thumbnails
from spice_cli.stages.scene import Scene

MOST_POINTS, EASY, SIDE = 10_000, 2_000, 32
"""Points at most; up to how many t-SNE takes a few seconds; side of a thumbnail in pixels."""
BLOCK = 256


def check_maps(maps: Sequence[Projection]) -> None:
    """Raise MissingError where a projection needs what is not installed."""
    if "umap" in maps and not has_umap():
        raise MissingError(
            "`--map umap` needs UMAP, which is not installed", hint="pip install umap-learn"
        )


def points(scene: Scene, maps: Sequence[Projection]) -> Points:
    """Return a map by each projection, the first one shown first; of many images, those drawn.

    Without any: PCA, and before it t-SNE where that is quick.
    """
    found = scene.found
    kept = torch.arange(len(found.rows))
    if len(kept) > MOST_POINTS:
        generator = torch.Generator().manual_seed(0)
        kept = torch.randperm(len(kept), generator=generator)[:MOST_POINTS].sort().values
    rows = found.rows[kept]
    drawn: dict[str, tuple[list[int], list[int]]] = {}
    if scene.embeddings is not None:
        x = scene.embeddings[rows]
        for kind in maps or (("tsne", "pca") if len(rows) <= EASY else ("pca",)):
            drawn[kind] = quantized(project(x, kind))
    return Points(
        path=[scene.paths[row] for row in rows.tolist()],
        cluster=found.cluster[kept].tolist(),
        confidence=[round(value, 4) for value in found.confidence[kept].tolist()],
        maps=drawn,
        thumbnails=_thumbnails(scene.images, rows),
    )


def _thumbnails(images: Tensor | None, rows: Tensor) -> Sprite | None:
    if images is None:
        return None
    parts = (thumbnails(images[part], SIDE) for part in torch.split(rows, BLOCK))
    return sprite(parts, len(rows), SIDE)
