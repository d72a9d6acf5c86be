"""What stages hold at their peak, in bytes, beside the process and the images: arithmetic on sizes.

n images, d features, v stored views of either kind, k clusters, h heads. Peaks of processes were
held against these (`benchmarks/memory.py`); a test keeps them true.
"""

from typing import NamedTuple

from spice_cli.ops.approximate import SAMPLE as LOOKED
from spice_cli.ops.approximate import SEARCHED
from spice_cli.ops.costs import FLOAT, feature_bytes
from spice_cli.ops.gmm import BLOCK_BYTES
from spice_cli.ops.kmeans import SAMPLE, SAMPLE_PER_CLUSTER
from spice_cli.ops.neighbors import room_for
from spice_cli.ops.pseudo_labels import SCORES
from spice_cli.ops.quality import BLOCK, ROWS

PACKED = 20
"""Bytes of a score that is compared with others."""
LABELS = 48
"""Bytes an image and head: clusters, and what counting their pairs takes."""

SEEDS = 200
"""Numbers that k-means has of each row of its sample while it looks for the first centres."""


class Kind(NamedTuple):
    """What a head method holds of n images beside the features."""

    copies: int = 0
    """Of the features."""
    tables: int = 0
    """Like the probabilities (n, k)."""
    compared: bool = False
    """Whether the scores (n, k) of one head are."""
    near: int = 0
    """Neighbours that are listed, at most."""
    means: bool = False
    """Whether k-means is part of it."""
    blocks: int = 0
    """Of so many bytes, in float64."""


KINDS = {
    "spice": Kind(tables=5, compared=True),
    "scan": Kind(tables=6, near=51),
    "kmeans": Kind(copies=1, tables=3, means=True),
    "gmm": Kind(tables=10, means=True, blocks=BLOCK_BYTES),
    "graph": Kind(copies=4, tables=3, near=11, means=True),
    "temi": Kind(tables=3, near=51),
    "turtle": Kind(copies=2, tables=3),
}


def mapped(needed: int, memory: int) -> int:
    """Return how much of so much memory that many bytes of mapped files are counted to take."""
    return needed if 2 * needed <= memory else memory // 4


def embedding(n: int, d: int) -> int:
    """Return what `embed` holds beside its rows: those of a sample."""
    return FLOAT * d * (min(n, ROWS) + 4 * BLOCK)


def labelling(method: str, n: int, d: int, k: int, *, heads: int, views: int) -> int:
    """Return what `self-label` holds."""
    kind = KINDS[method]
    held = feature_bytes(n, d, views) + kind.copies * feature_bytes(n, d, 0)
    held += FLOAT * n * k * kind.tables + (LABELS * heads + 64) * n
    if kind.compared:
        held += PACKED * min(n * k, SCORES)
    if kind.means:
        held += FLOAT * min(n, max(SAMPLE, SAMPLE_PER_CLUSTER * k)) * (3 * d + SEEDS)
    held += 2 * min(kind.blocks, 8 * n * (2 * d + 3 * k))
    if kind.near:
        near = min(kind.near, n)
        held += 8 * n * near + room_for(n, d, near)
    return held


def selecting(n: int, d: int, k: int, *, neighbors: int, index: str) -> int:
    """Return what `select-reliable` holds, which keeps no list of neighbours."""
    given = feature_bytes(n, d + k, 0)
    if index == "exact":
        return given + room_for(n, d, neighbors)
    rows = 2 * d if index == "ivf" else FLOAT * d + 8 * 64
    sample = 4 * FLOAT * d * min(n, int(256 * n**0.5))
    found = 40 * SEARCHED * neighbors
    held = given + 3 * n * (rows + 8) + 40 * n + sample + found
    return held + room_for(n, d, neighbors, asked=min(n, LOOKED))


def predicting(n: int, k: int) -> int:
    """Return what `semi` holds of all images: their probabilities, and labels."""
    return 3 * FLOAT * n * k + 40 * n


def evaluating(n: int, d: int, k: int) -> int:
    """Return what `evaluate` holds, which reads the images too if the data set knows the classes.

    Probabilities, after them embeddings; labels; rows of a sample, and their distances.
    """
    return feature_bytes(n, max(d, k), 0) + 96 * n + FLOAT * 2 * 2**25 + embedding(n, d)
