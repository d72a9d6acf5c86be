"""Images that are there more than once: exactly, nearly, or turned.

Before anything is trained there are only pixels to compare. An image's signature is its 8 x 8
thumbnail less its mean, as a unit vector; compression, size and small edits hardly change it.
Pairs with like signatures are looked at again at 32 x 32, where other images differ.
"""

from dataclasses import dataclass
from hashlib import blake2b

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, FINE = 8, 32
NEAR, FINELY = 0.99, 0.95
"""Cosines of signatures, and of fine ones, from which two images are near-duplicates.

Of 1,000 CIFAR-10 images and their JPEG copies 994 pairs reach both; of the pairs of 4,000 different
ones none does.
"""
FLAT = 8
"""Levels, of 255, that the pixels of an image of one colour may differ by."""
BLOCK = 2**24
"""Numbers held at a time."""


@dataclass(frozen=True)
class Doubles:
    """Pairs of rows (m, 2) int64, the lower row first; a row is second in at most one a kind."""

    exact: Tensor
    """The same pixels; of several copies each is paired with the first."""
    near: Tensor
    """Nearly the same, but not the same, pixels: each with the most alike before it."""
    turned: Tensor
    """Nearly the same after one was turned by 90, 180 or 270 degrees, and not before."""
    shared: Tensor
    """A training row, and a test row that has the same or nearly the same pixels."""


def doubles(images: Tensor, test: int = 0, *, pairwise: bool = True) -> Doubles:
    """Find them among images (n, 3, h, w) uint8, the last `test` of which are test images.

    Images of one colour are near to none. Only square images are turned. Time is in proportion to
    n^2, or to n where not `pairwise`: then only the same pixels are found.
    """
    train, none = len(images) - test, torch.empty(0, 2, dtype=torch.int64)
    exact, distinct = _exact(images)
    same = exact[(exact[:, 0] < train) & (exact[:, 1] >= train)]
    if not pairwise:
        return Doubles(exact, none, none, same)
    sketch = signatures(images)
    alike = none
    if test and train:
        rows = torch.arange(train, len(images))
        alike = _confirmed(images, _before(sketch, rows, sketch[:train]), 0)
    sketch[exact[:, 1]] = 0
    near = _confirmed(images, _before(sketch, distinct, sketch), 0)
    turned = none
    if images.shape[-1] == images.shape[-2]:
        rest = distinct[~torch.isin(distinct, near[:, 1])]
        turns = [
            _confirmed(images, _before(_turn(sketch, quarters), rest, sketch), quarters)
            for quarters in (1, 2, 3)
        ]
        turned = once(torch.cat(turns))
    return Doubles(exact, near, turned, once(torch.cat([same, alike])))


def signatures(images: Tensor, side: int = SIDE) -> Tensor:
    """Return (n, 3 side^2) signatures of images (n, 3, h, w) uint8; zero for one of one colour."""
    parts = []
    for part in _split(images):
        small = F.adaptive_avg_pool2d(part.float(), side).flatten(1)
        centred = small - small.mean(1, keepdim=True)
        flat = centred.norm(dim=1, keepdim=True) < side
        parts.append(F.normalize(centred).masked_fill_(flat, 0))
    return torch.cat(parts)


def plain(images: Tensor) -> Tensor:
    """Return the rows (m,) of the images (n, 3, h, w) uint8 that show nothing but one colour."""
    parts = []
    for part in _split(images):
        pixels = part.flatten(2)
        parts.append(((pixels.amax(2) - pixels.amin(2)) <= FLAT).all(1))
    return torch.cat(parts).nonzero().flatten()


def _split(images: Tensor) -> tuple[Tensor, ...]:
    return torch.split(images, max(1, BLOCK // images.shape[1:].numel()))


def _exact(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of copies, and the rows (m,) without those that are a copy of another."""
    first: dict[bytes, int] = {}
    pairs = []
    for row, image in enumerate(images.cpu().contiguous().numpy()):
        at = first.setdefault(blake2b(image, digest_size=16).digest(), row)
        if at != row:
            pairs.append((at, row))
    return torch.tensor(pairs, dtype=torch.int64).view(-1, 2), torch.tensor([*first.values()])


def _turn(sketch: Tensor, quarters: int) -> Tensor:
    return torch.rot90(sketch.view(-1, 3, SIDE, SIDE), quarters, (2, 3)).flatten(1)


def _before(left: Tensor, rows: Tensor, right: Tensor) -> Tensor:
    """Pair each of `rows` of `left` with the row before it of `right` whose cosine is largest.

    Returns pairs (m, 2), the earlier row first, of a cosine of at least `NEAR`.
    """
    found = [torch.empty(0, 2, dtype=torch.int64)]
    columns = torch.arange(len(right))
    for part in torch.split(rows, max(1, BLOCK // len(right))):
        end = min(int(part[-1]), len(right)) if len(part) else 0
        if not end:
            continue
        cosine = left[part] @ right[:end].T
        cosine.masked_fill_(columns[:end] >= part[:, None], -1)
        best, at = cosine.max(1)
        near = best >= NEAR
        found.append(torch.stack([at[near], part[near]], 1))
    return torch.cat(found)


def _confirmed(images: Tensor, pairs: Tensor, quarters: int) -> Tensor:
    """Keep the pairs that are alike at 32 x 32 too, the second turned, and are not equal."""
    kept = [pairs[:0]]
    for part in torch.split(pairs, max(1, BLOCK // images.shape[1:].numel())):
        left = images[part[:, 0]]
        right = torch.rot90(images[part[:, 1]], quarters, (2, 3))
        cosine = (signatures(left, FINE) * signatures(right, FINE)).sum(1)
        other = (left != right).flatten(1).any(1) if not quarters else cosine > 0
        kept.append(part[(cosine >= FINELY) & other])
    return torch.cat(kept)


def once(pairs: Tensor) -> Tensor:
    """Keep of pairs (m, 2) the first of each second row, in the order of the second rows."""
    if not len(pairs):
        return pairs
    pairs = pairs[pairs[:, 1].argsort(stable=True)]
    first = torch.ones(len(pairs), dtype=torch.bool)
    first[1:] = pairs[1:, 1] != pairs[:-1, 1]
    return pairs[first]
