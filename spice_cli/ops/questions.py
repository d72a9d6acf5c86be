"""Which answer would teach most: about what is hard, stands for much, and is not yet known."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.constraints import TOLD, Field, probabilities
from spice_cli.ops.spreading import solve, spread


def doubt(probs: Tensor) -> Tensor:
    """Return one minus the margin (n,) between the two likeliest of probabilities (n, k)."""
    top = probs.topk(2, dim=1).values
    return 1 - (top[:, 0] - top[:, 1])


def worth(field: Field, closed: Tensor) -> Tensor:
    """Return how much an answer about each row would teach (n,); -1 for the rows `closed` (q,).

    Doubt times the root of the doubt that an answer would reach: hard and representative, as the
    value of a sample in interactive deep clustering (NeurIPS 2024). Doubtful is a row of which
    either rule is unsure, or the two disagree (query by committee, Seung et al. 1992): what its
    neighbours say and what its cluster is. How far an answer reaches is the covariance of the
    Gaussian field (I - S + diag(weight))^-1 (Zhu et al. 2003); with each answer the rows near it
    lose their doubt, which keeps the questions diverse.
    """
    hard = doubt(field.probs)
    hard[closed] = 0
    reach = solve(field.graph, field.weight, hard[:, None], tolerance=1e-2)[:, 0].clamp(min=0)
    value = hard * reach.sqrt()
    value[closed] = -1
    return value


def several(field: Field, closed: Tensor, count: int) -> list[int]:
    """Return up to `count` rows to ask about, the most telling first, before any is answered.

    After each, its answer is taken to be what its neighbours say, and the next is chosen. Rows
    `closed` (q,) are not asked about.
    """
    field = field._replace(weight=field.weight.clone(), given=field.given.clone())
    scores, chosen = None, list[int]()
    while len(chosen) < count and len(closed) < len(field.probs):
        row = int(worth(field, closed).argmax())
        chosen.append(row)
        closed = torch.cat([closed, torch.tensor([row], device=closed.device)])
        guess = F.one_hot(field.smooth[row].argmax(), field.given.shape[1])
        field.given[row], field.weight[row] = guess.to(field.given), TOLD
        scores = spread(field.graph, field.weight, field.given, scores)
        field = field._replace(smooth=probabilities(scores))
    return chosen


def options(probs: Tensor, most: int = 4, least: float = 0.03) -> list[int]:
    """Return the clusters that a row of probabilities (k,) may be in, the likeliest first.

    At least two of them, if there are two.
    """
    order = probs.argsort(descending=True, stable=True)[:most].tolist()
    return [each for place, each in enumerate(order) if place < 2 or probs[each] >= least]
