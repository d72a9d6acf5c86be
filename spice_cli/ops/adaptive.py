"""Which cluster labels to trust without a tuned threshold: neighbourhoods as large as they hold.

DCBoost (Li, Jia, Liu, Hou, NeurIPS 2025, https://arxiv.org/abs/2511.21193) filters samples by the
consistency of adaptively many nearest neighbours, at most 50. We had its abstract, not its text:
certain are the idea, the bound and that nothing is tuned; the rule below is our own. It is the
adaptive nearest-neighbour rule of Balsubramani, Dasgupta, Freund and Moran (NeurIPS 2019,
https://arxiv.org/abs/1905.12717) with an exact test in the place of its concentration bound.
"""

import math

import torch
from torch import Tensor

from spice_cli.ops.reliable import Verdict


def least_majorities(votes: int, images: int) -> list[int]:
    """Return for j = 1, ..., `votes` votes how many must agree so that it can hardly be chance.

    The least a > j / 2 for which a fair coin shows as many heads in j throws with a probability of
    at most 1 / (`images` * `votes`); j + 1 where there is none. Over all images and all j less than
    one such majority is then expected by chance. Computed in whole numbers.
    """
    return [_least(j, votes * images) for j in range(1, votes + 1)]


def adaptively_consistent(neighbors: Tensor, probs: Tensor) -> Verdict:
    """Keep the samples whose label is that of a majority of some neighbourhood, beyond chance.

    A sample's label is its most probable cluster of `probs` (n, k), and its nearest neighbours
    (n, v) vote for it or against, nearest first; column 0 is the sample itself, and has no vote.
    Its neighbourhood is the largest j of its v - 1 voters of whom at least `least_majorities`
    agree. Where there is none the sample is not kept. `consistency` is that of the neighbourhood,
    for others that of all v. Notes say how large the neighbourhoods are on average.
    """
    label = probs.argmax(1)
    votes = neighbors.shape[1] - 1
    least = torch.tensor(least_majorities(votes, len(label)), device=label.device)
    sizes = torch.arange(1, votes + 1, device=label.device)
    found, agreeing = [], []
    for block in torch.split(neighbors, 2**16):
        heard = (label[block[:, 1:]] == label[block[:, :1]]).cumsum(1)
        size = ((heard >= least) * sizes).amax(1) if votes else heard.sum(1)
        whole = torch.where(size > 0, size, votes)
        found.append(size)
        agreeing.append(heard.gather(1, whole[:, None] - 1)[:, 0] if votes else heard.sum(1))
    size = torch.cat(found)
    kept = size > 0
    share = (torch.cat(agreeing) + 1) / (torch.where(kept, size, votes) + 1)
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
