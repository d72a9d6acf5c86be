"""Lloyd's iterations of k-means for several restarts at once, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.stretch import WHOLE, Stretch

BLOCK_BYTES = {"cpu": 2**23, "cuda": 2**28}
"""About what fits the cache, and what keeps a GPU busy."""


@dataclass(frozen=True)
class Points:
    """Rows to cluster, `scale * features - origin`, made a block at a time."""

    features: Tensor
    """(n, d), any floating type."""
    scale: Tensor
    """(n, 1) float32, one over the length of each row where that is ignored, else ones."""
    origin: Tensor
    """(d,) float32, near the mean: distances to it are small, so that little is lost in rounding"""
    spherical: bool
    """Whether centres have unit length, seen from zero and not from the origin."""
    stretch: Stretch = WHOLE
    """The rows that this process goes through, where others go through the rest."""

    def at(self, rows: Tensor) -> Tensor:
        """Return some rows (..., d) float32; `rows` (...) int64."""
        return torch.addcmul(-self.origin, self.features[rows].float(), self.scale[rows])

    def blocks(self, width: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield own rows in blocks that go with `width` values a row; each overwrites the last."""
        n, d = self.features.shape
        own, size = self.stretch.of(n), BLOCK_BYTES.get(self.features.device.type, 2**26)
        step = max(1, min(own.stop - own.start, size // (4 * (d + width))))
        buffer, minus = self.origin.new_empty(step, d), -self.origin
        for start in range(own.start, own.stop, step):
            rows = slice(start, min(start + step, own.stop))
            block = buffer[: rows.stop - start]
            torch.addcmul(minus, self.features[rows].float(), self.scale[rows], out=block)
            yield rows, block

    def project(self, means: Tensor) -> Tensor:
        """Turn means (..., d) into centres."""
        if not self.spherical:
            return means
        return F.normalize(means + self.origin, dim=-1) - self.origin


def lloyd(
    points: Points, centers: Tensor, *, limit: Tensor, iterations: int, dtype: torch.dtype
) -> tuple[Tensor, int]:
    """Move centers (r, k, d) to the means of their clusters until they move by less than `limit`.

    Returns them, and how many of the `iterations` were left.

    `limit` () bounds the squared distances that the k centres of a restart move in one iteration,
    summed; restarts that are within it rest while others go on. Products with the centres are
    taken in `dtype`, means always in float32. A cluster that runs empty starts again at the sample
    farthest from its centre. Processes that go through other rows have to begin with the same bits.
    """
    centers = centers.clone()
    active = torch.arange(len(centers), device=centers.device)
    while iterations and len(active):
        iterations -= 1
        moved = points.project(_means(points, centers[active], dtype))
        shift = (moved - centers[active]).square().sum((1, 2))
        centers[active] = moved
        active = active[shift > limit]
    return centers, iterations


def distances(points: Points, centers: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Squared distances (r, n) float32 to the nearest of centers (r, k, d)."""
    n = len(points.features)
    found, own = centers.new_empty(len(centers), n), points.stretch.of(n)
    for rows, block, least, _ in _nearest(points, centers, dtype):
        length = torch.linalg.vector_norm(block, dim=1, keepdim=True).square_()
        found[:, rows] = least.float().add_(length).clamp_(min=0).T
    return points.stretch.whole(found[:, own].T, n).T


def assign(points: Points, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest of centers (k, d) for each row, (n,) int64, and the inertia, () float64."""
    n = len(points.features)
    labels = torch.empty(n, dtype=torch.int64, device=centers.device)
    inertia = torch.zeros((), dtype=torch.float64, device=centers.device)
    for rows, block, _, nearest in _nearest(points, centers[None], torch.float32):
        labels[rows] = nearest[:, 0]
        inertia += block.sub_(centers[nearest[:, 0]]).square_().sum(dtype=torch.float64)
    points.stretch.sum(inertia)
    return points.stretch.whole(labels[points.stretch.of(n)], n), inertia


def _nearest(
    points: Points, centers: Tensor, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Yield rows, their block (b, d), and of the nearest centres score and index, both (b, r)."""
    restarts, clusters, _ = centers.shape
    flat = centers.flatten(0, 1)
    lengths, doubled = flat.square().sum(1).to(dtype), flat.mul(-2).to(dtype).T
    scores = lengths.new_empty(0)
    for rows, block in points.blocks(len(flat)):
        scores = scores if len(scores) == len(block) else lengths.new_empty(len(block), len(flat))
        torch.addmm(lengths, block.to(dtype), doubled, out=scores)
        least = scores.view(-1, restarts, clusters).min(2)
        yield rows, block, least.values, least.indices


def _means(points: Points, centers: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean (r, k, d) of the rows nearest to each of centers (r, k, d)."""
    restarts, clusters, d = centers.shape
    width = restarts * clusters
    offsets = clusters * torch.arange(restarts, device=centers.device)
    add_up = multiplied_sums if centers.is_cuda else gathered_sums
    sums, sizes = centers.new_zeros(width, d), offsets.new_zeros(width)
    for _, block, _, nearest in _nearest(points, centers, dtype):
        members = nearest + offsets
        count = torch.bincount(members.flatten(), minlength=width)
        sums += add_up(block, members, count)
        sizes += count
    points.stretch.sum(sums, sizes)
    means = (sums / sizes.clamp(min=1)[:, None]).view(restarts, clusters, d)
    empty = (sizes == 0).view(restarts, clusters)
    if empty.any():
        farthest = distances(points, centers, dtype).topk(clusters, dim=1).indices
        place = (empty.cumsum(1) - 1).clamp_(min=0)
        means = torch.where(empty[..., None], points.at(farthest.gather(1, place)), means)
    return means


def gathered_sums(block: Tensor, members: Tensor, count: Tensor) -> Tensor:
    """Add up (w, d) the block's rows (b, d) by their members (b, r) below w; `count` (w,) each.

    Rows are gathered cluster by cluster: on a CPU that takes a small part of a product's time.
    """
    order = members.flatten().argsort(stable=True).div_(members.shape[1], rounding_mode="floor")
    return F.embedding_bag(order, block, count.cumsum(0) - count, mode="sum")


def multiplied_sums(block: Tensor, members: Tensor, count: Tensor) -> Tensor:
    """Do as `gathered_sums` by one product, for a GPU, where additions to one place would race."""
    one = block.new_zeros(len(block), len(count)).scatter_(1, members, 1.0)
    return one.T @ block
