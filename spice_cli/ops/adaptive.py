"""Which cluster labels to trust without a tuned threshold: neighbourhoods as large as they hold.

DCBoost (Li, Jia, Liu, Hou, NeurIPS 2025, https://arxiv.org/abs/2511.21193) filters samples by the
consistency of adaptively many nearest neighbours, at most 50. We had its abstract, not its text:
certain are the idea, the bound and that nothing is tuned; the rule below is our own. It is the
adaptive nearest-neighbour rule of Balsubramani, Dasgupta, Freund and Moran (NeurIPS 2019,
https://arxiv.org/abs/1905.12717) with an exact test in the place of its concentration bound.
"""

import math
from functools import cache

import torch
from torch import Tensor

from spice_cli.ops.reliable import Verdict


@cache
def least_majorities(votes: int, images: int) -> list[int]:
    """Return for j = 1, ..., `votes` votes how many must agree so that it can hardly be chance.

    The least a > j / 2 for which a fair coin shows as many heads in j throws with a probability of
    at most 1 / (`images` * `votes`); j + 1 where there is none. Over all images and all j less than
    one such majority is then expected by chance. Computed in whole numbers.
    """
    return [_least(j, votes * images) for j in range(1, votes + 1)]


def neighborhood(neighbors: Tensor, labels: Tensor) -> Tensor:
    """Return the size of each sample's neighbourhood, and how many in it agree, (r, 2) int64.

    Nearest neighbours (r, v) vote for a sample's label of `labels` (n,) or against, nearest first;
    column 0 is the sample itself, and has no vote. Its neighbourhood is the largest j of its v - 1
    voters of whom at least `least_majorities` agree. Where there is none the size is 0, and all v
    are counted.
    """
    votes = neighbors.shape[1] - 1
    heard = (labels[neighbors[:, 1:]] == labels[neighbors[:, :1]]).cumsum(1)
    if not votes:
        return torch.zeros(len(neighbors), 2, dtype=torch.int64, device=labels.device)
    least = torch.tensor(least_majorities(votes, len(labels)), device=labels.device)
    size = ((heard >= least) * torch.arange(1, votes + 1, device=labels.device)).amax(1)
    whole = torch.where(size > 0, size, votes)
    return torch.stack([size, heard.gather(1, whole[:, None] - 1)[:, 0]], dim=1)


def adaptively_consistent(found: Tensor, voters: int) -> Verdict:
    """Keep the samples whose label is that of a majority of some neighbourhood, beyond chance.

    `found` (n, 2) is what `neighborhood` made of `voters` neighbours. `consistency` is that of the
    neighbourhood, for those without one that of all voters. Notes say how large the neighbourhoods
    are on average.
    """
    size, agree = found.unbind(1)
    kept = size > 0
    share = (agree + 1) / (torch.where(kept, size, voters - 1) + 1)
    mean = size.sum() / kept.sum().clamp_min(1)
    return Verdict(kept, share, {"neighborhood": round(float(mean), 2)})


def _least(votes: int, tries: int) -> int:
    tail, least = 0, votes + 1
    for agreeing in range(votes, votes // 2, -1):
        tail += math.comb(votes, agreeing)
        if tail * tries > 2**votes:
            break
        least = agreeing
    return least
