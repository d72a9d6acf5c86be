"""Prototypes to tell a query's own cluster by: how dense each is, which are drawn, and the loss.

PCL, https://arxiv.org/abs/2005.04966 (Li et al., ICLR 2021), section 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHING = 10
"""Alpha of equation 12: small clusters are not taken for dense ones."""
LEAST = 0.01
"""Least concentration as a share of the mean: below it a few equal images would drown all else."""
PER_PROTOTYPE = 200
"""Images a prototype at the coarsest granularity: ProPos' 250 of 50,000."""
FEWEST = 4
"""Images a prototype at the finest: with fewer, hardly any has more than one."""


def concentrations(distances: Tensor, labels: Tensor, temperature: float, clusters: int) -> Tensor:
    """Return phi (c,) float32 of each cluster: how far its members lie from its prototype.

    The mean of its members' distances (n,), over ln(size + 10) (equation 12); clusters of one
    member or none get the highest; all are clipped to the 10th and 90th percentile and scaled to
    `temperature` in the mean. `LEAST` is ours. `labels` (n,) int64 are below `clusters`.
    """
    sizes = torch.bincount(labels, minlength=clusters)
    sums = torch.bincount(labels, distances.double(), minlength=clusters)
    phi = sums / sizes.clamp(min=1) / (sizes + SMOOTHING).log()
    small = sizes <= 1
    phi = torch.where(small, phi.masked_fill(small, 0).max(), phi)
    low, high = phi.quantile(phi.new_tensor([0.1, 0.9]))
    phi = phi.clamp(low, high)
    relative = torch.where(phi.mean() > 0, phi / phi.mean(), 1.0)
    return (temperature * relative.clamp(min=LEAST)).float()


def drawn(labels: Tensor, prototypes: int, draws: int, generator: torch.Generator) -> Tensor:
    """Return how many times (c,) float32 each prototype comes up in `draws` with replacement.

    Only those are drawn that belong to none of the batch's `labels` (n,); if there are none of
    these, all counts are 0.
    """
    absent = torch.ones(prototypes, device=labels.device).index_fill_(0, labels, 0)
    upto = absent.cumsum(0)
    places = torch.rand(draws, generator=generator, device=labels.device) * upto[-1]
    chosen = torch.searchsorted(upto, places, right=True).clamp_(max=prototypes - 1)
    return torch.zeros_like(absent).scatter_add_(0, chosen, torch.ones_like(places)) * absent


def prototype_nce(
    queries: Tensor, labels: Tensor, prototypes: Tensor, phi: Tensor, times: Tensor
) -> Tensor:
    """Mean cross-entropy () of picking the own prototype among it and the negatives (equation 11).

    Unit rows `queries` (n, d) and `prototypes` (c, d); `labels` (n,) int64 are the queries' own;
    each logit is divided by its prototype's phi (c,). `times` (c,) says how often a prototype is
    among the negatives. In float32 also under autocast.
    """
    with torch.autocast(queries.device.type, enabled=False):
        logits = queries @ prototypes.T / phi
        own = logits.gather(1, labels[:, None])
        choices = torch.cat([own, logits + times.log()], 1)
        return F.cross_entropy(choices, torch.zeros_like(labels))


def granularities(images: int, batch: int) -> tuple[int, ...]:
    """Return how many prototypes there are at each granularity, in ascending order.

    250, 500 and 1000 for 50,000 images in batches of 128, as in the reference. No fewer than a
    batch has images, so that some are always absent from it, and at most a quarter of the images.
    """
    first, most = max(images // PER_PROTOTYPE, batch), max(2, images // FEWEST)
    return tuple(sorted({min(first * times, most) for times in (1, 2, 4)}))
