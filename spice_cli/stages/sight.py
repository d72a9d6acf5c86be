"""What a network sees in images before anything is made of them: copies, and which way they lie."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.data.dataset import Dataset
from spice_cli.models.backbone import Backbone
from spice_cli.ops.alike import alike
from spice_cli.ops.augment import plain
from spice_cli.ops.hardware import multiplies_bf16
from spice_cli.ops.residence import brought
from spice_cli.ops.upright import TURNS, Orientation, halves, orientation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import restore
from spice_cli.stages.features import fitting
from spice_cli.stages.model import autocast
from spice_cli.stages.pretrained import Found
from spice_cli.stages.weight_files import read_weights
from spice_cli.track import Bar, Track

MOST = 1_000
"""Images that are turned; of more, so many are drawn."""
BATCH = 256


@dataclass(frozen=True)
class Eye:
    """A network, on the device where it looks."""

    backbone: Backbone
    device: torch.device
    embeddings: Tensor | None = None
    """(n, d) unit rows of the images, where they are there already."""


@dataclass(frozen=True)
class Sight:
    """What it saw."""

    alike: Tensor
    """Pairs of rows (m, 2), the earlier one first."""
    shared: Tensor
    """Those of a training and a test image."""
    rows: Tensor
    """(r,) of the images that were turned."""
    orientation: Orientation
    """Of those."""


def eye_of(found: Found, size: int, device: torch.device) -> Eye:
    """Build a network that others trained, for images of `size` pixels; errors as its weights'."""
    with torch.random.fork_rng(devices=[]):
        backbone = found.network.load(found.facts.at(size), read_weights(found.file))
    return Eye(backbone.to(device, memory_format=torch.channels_last).eval(), device)  # type: ignore[call-overload]


def eye_of_run(run: Run, device: torch.device) -> Eye:
    """Take the network that `pretrain` left in a run, and what `embed` did if it is current."""
    done = Stage.EMBED in run.manifest.stages and not run.stale_because(Stage.EMBED)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"] if done else None
    return Eye(restore(run, device), device, embeddings)


def look(data: Dataset, eye: Eye, track: Track) -> Sight:
    """Look at every image once, and at up to `MOST` of them turned by 90, 180 and 270 degrees."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(data.n, generator=generator)[:MOST].sort().values
    rest = torch.ones(data.n, dtype=torch.bool).index_fill_(0, rows, False).nonzero().flatten()
    known = eye.embeddings
    total = TURNS * len(rows) + (len(rest) if known is None else 0)
    with track.bar("look", total) as bar:
        seen = torch.stack([_seen(data.images, rows, turn, eye, bar) for turn in range(TURNS)])
        if known is None:
            width = seen.shape[2] // 3
            known = seen.new_empty(data.n, width)
            known[rows] = seen[0, :, :width]
            known[rest] = _seen(data.images, rest, 0, eye, bar, width)
    pairs, shared = alike(F.normalize(known.float()).to(eye.device), data.test)
    return Sight(pairs, shared, rows, orientation(seen.to(eye.device), generator))


@torch.no_grad()
def _seen(
    images: Tensor, rows: Tensor, turn: int, eye: Eye, bar: Bar, width: int | None = None
) -> Tensor:
    """Return the first `width` features (r, 3 d), as in `halves`, of images turned by quarters."""
    bf16 = multiplies_bf16(eye.device)
    parts = [torch.empty(0, width or 3 * int(eye.backbone.features))]
    for part in torch.split(rows, fitting(BATCH, images, eye.device)) if len(rows) else ():
        pixels = plain(torch.rot90(brought(images[part], eye.device), turn, (2, 3)))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with autocast(pixels, bf16):
            maps = eye.backbone.maps(pixels)
        parts.append(halves(maps)[:, :width].cpu())
        bar.advance(len(part))
    return torch.cat(parts)
