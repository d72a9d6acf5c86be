"""What a report shows of each cluster: its size, how sure, its galleries, and heat maps."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.errors import MissingError
from spice_cli.models.backbone import Backbone
from spice_cli.report.page import Cluster
from spice_cli.run.manifest import Stage
from spice_cli.stages.album import Album
from spice_cli.stages.backbone import restore
from spice_cli.stages.gallery import Shown, shown
from spice_cli.stages.heat import likeness, overlay, scale
from spice_cli.stages.perform import choose_device
from spice_cli.stages.scene import Scene
from spice_cli.track import Track

MOST_PICTURES, MOST_HEATED = 2_400, 240
"""Pictures in all galleries, and heat maps among them."""
HEATED = "where the nearest resemble the centre"


def cards(
    scene: Scene, album: Album, pictures: int, truth: Mapping[int, str], track: Track
) -> tuple[list[Cluster], str]:
    """Return what is shown of every cluster, and how to read the heat maps if there are any.

    `pictures` of each kind a cluster, fewer where there are many clusters; `truth` is what
    `evaluate` said of them.
    """
    clusters = scene.shown
    count = max(1, min(pictures, MOST_PICTURES // (3 * len(clusters))))
    generator = torch.Generator().manual_seed(0)
    members = {c: (scene.found.cluster == c).nonzero()[:, 0] for c in clusters}
    chosen = {
        c: shown(
            scene.found.rows[mine],
            scene.found.confidence[mine].float(),
            scene.embeddings,
            count,
            generator,
        )
        for c, mine in members.items()
    }
    galleries = {c: _galleries(scene, album, each) for c, each in chosen.items()}
    backbone = _backbone(scene, track)
    heated, how = _heat(scene, album, backbone, {c: s.prototypes for c, s in chosen.items()})
    for cluster, places in heated.items():
        galleries[cluster] = _after_first(galleries[cluster], HEATED, places)
    made = [
        Cluster(
            id=c,
            name=scene.names.get(c, ""),
            size=len(mine),
            confidence=float(scene.found.confidence[mine].double().mean()) if len(mine) else 0.0,
            truth=truth.get(c, ""),
            galleries=galleries[c],
        )
        for c, mine in members.items()
    ]
    return made, how


def _galleries(scene: Scene, album: Album, chosen: Shown) -> dict[str, list[int]]:
    nearest = (
        "nearest to the centre" if scene.embeddings is not None else f"highest {scene.measure}"
    )
    return {
        f"prototypes: {nearest}": album.add(chosen.prototypes.tolist()),
        "typical: drawn at random": album.add(chosen.typical.tolist()),
        f"doubtful: lowest {scene.measure}": album.add(chosen.doubtful.tolist()),
    }


def _after_first(
    galleries: Mapping[str, list[int]], title: str, places: list[int]
) -> dict[str, list[int]]:
    first, *others = galleries.items()
    return dict([first, (title, places), *others])


def _heat(
    scene: Scene, album: Album, backbone: Backbone | None, prototypes: Mapping[int, Tensor]
) -> tuple[dict[int, list[int]], str]:
    """Paint heat maps of the first prototypes of each cluster."""
    each = MOST_HEATED // len(prototypes)
    taken = {c: rows[:each] for c, rows in prototypes.items() if len(rows[:each])}
    if backbone is None or scene.images is None or scene.embeddings is None or not taken:
        return {}, ""
    centers = []
    for cluster, rows in taken.items():
        mine = scene.found.rows[scene.found.cluster == cluster]
        centers.append(scene.embeddings[mine].mean(0).expand(len(rows), -1))
    rows = torch.cat(list(taken.values()))
    images = scene.images[rows].cpu()
    heat = likeness(backbone, images, F.normalize(torch.cat(centers)))
    if heat is None:
        return {}, ""
    low, high = scale(heat)
    told = [f"{album.caption(row)} · heat map" for row in rows.tolist()]
    places = album.paint(overlay(images, heat, low, high), told)
    parts = torch.split(torch.tensor(places), [len(own) for own in taken.values()])
    how = (
        f"Heat maps: cosine of each place with its cluster's centre, from {low:.2f} and less "
        f"(dark blue) to {high:.2f} and more (yellow), the same in all pictures."
    )
    return {c: part.tolist() for c, part in zip(taken, parts, strict=True)}, how


def _backbone(scene: Scene, track: Track) -> Backbone | None:
    """Return the backbone that made the embeddings, if it is the run's own."""
    run = scene.run
    record = run.manifest.stages.get(Stage.EMBED)
    if scene.images is None or scene.embeddings is None or record is None or record.imported:
        return None
    if Stage.PRETRAIN not in run.manifest.stages:
        return None
    try:
        return restore(run, choose_device("auto"))
    except MissingError as error:
        track.say(f"no heat maps: {error}")
        return None
