"""Which images lie the wrong way round, told by the other images alone.

What is upright can be learnt without labels, because most images are: a linear classifier says by
how much a picture was turned (RotNet, https://arxiv.org/abs/1803.07728). No image judges itself,
and what seems turned is left out before the judges are trained again, as in confident learning
(https://arxiv.org/abs/1911.00068).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TURNS = 4
FOLDS = 2
PENALTY = 1e-4
"""On the squared weights of the classifier, whose inputs have a variance of one over d."""
LEAST_ACCURACY = 0.6
"""Share of the turns that must be told rightly (chance: a quarter) for anything to be said."""
TYPICAL = 0.75
"""An image is said to be turned where that is surer than it is of so many that they are upright."""
LEAST = 40
"""Images, of fewer nothing is learnt."""


@dataclass(frozen=True)
class Orientation:
    """How images lie, as far as that can be told."""

    degrees: Tensor
    """(n,) int64: by how much each seems to be turned counterclockwise; 0 where it is not sure."""
    accuracy: float
    """Share of all turns that were told rightly of images that did not teach, from 0 to 1."""

    @property
    def told(self) -> bool:
        """Whether orientation can be told at all; if not, all `degrees` are 0."""
        return self.accuracy >= LEAST_ACCURACY


def orientation(features: Tensor, generator: torch.Generator) -> Orientation:
    """Tell how n images lie from features (4, n, d) of each turned by 0, 90, 180, 270 degrees.

    The turns are counterclockwise. The judges of an image learnt from others, and give each of its
    four copies log-probabilities; their mean for a turn, less that of the next best, is how sure
    that turn is. Fewer than `LEAST` images cannot be told.
    """
    n = features.shape[1]
    none = torch.zeros(n, dtype=torch.int64)
    if n < LEAST:
        return Orientation(none, 0.0)
    x = features.float()
    x = x - x.mean((0, 1))
    x = x / (x.std((0, 1)) + 1e-6) / x.shape[2] ** 0.5
    fold = (torch.randperm(n, generator=generator) % FOLDS).to(x.device)
    scores = _judged(x, fold, torch.ones_like(fold, dtype=torch.bool))
    right = scores.argmax(2) == torch.arange(TURNS, device=x.device)[:, None]
    accuracy = float(right.float().mean())
    if accuracy < LEAST_ACCURACY:
        return Orientation(none, accuracy)
    turns = _turns(_judged(x, fold, _turns(scores).argmax(1) == 0))
    best, turn = turns.topk(2, dim=1)
    least = (turns[:, 0] - turns[:, 1:].amax(1)).quantile(TYPICAL).clamp(min=0)
    sure = (best[:, 0] - best[:, 1]) >= least
    return Orientation(torch.where(sure, 90 * turn[:, 0], 0).cpu(), accuracy)


def halves(maps: Tensor) -> Tensor:
    """Return features (n, 3 d) of maps (n, d, h, w) that keep what is above, and what is left.

    Three unit rows side by side: the mean, the upper half less the lower, the left less the right.
    """
    up, left = max(1, maps.shape[2] // 2), max(1, maps.shape[3] // 2)
    maps = maps.float()
    parts = (
        maps.mean((2, 3)),
        maps[:, :, :up].mean((2, 3)) - maps[:, :, -up:].mean((2, 3)),
        maps[..., :left].mean((2, 3)) - maps[..., -left:].mean((2, 3)),
    )
    return torch.cat([F.normalize(part) for part in parts], 1)


def _judged(x: Tensor, fold: Tensor, kept: Tensor) -> Tensor:
    """Return log-probabilities (4, n, 4) of turns by judges that learnt from the other folds."""
    label = torch.arange(TURNS, device=x.device)[:, None].expand(x.shape[:2])
    out = x.new_empty(*x.shape[:2], TURNS)
    for number in range(FOLDS):
        own = fold == number
        weight, bias = _judge(x[:, kept & ~own].flatten(0, 1), label[:, kept & ~own].flatten())
        out[:, own] = F.linear(x[:, own], weight, bias).log_softmax(2)
    return out


def _judge(x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a multinomial logistic regression to rows (m, d) and turns (m,): (4, d) and (4,)."""
    weight = torch.zeros(TURNS, x.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(TURNS, device=x.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), label)
        loss = loss + PENALTY * weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _turns(scores: Tensor) -> Tensor:
    """Return the mean log-probabilities (n, 4) that an image itself lies at each turn.

    A copy turned by q of an image that lies at turn a should be told to be at a + q.
    """
    copies = torch.arange(TURNS, device=scores.device)
    turned = [scores[copies, :, (turn + copies) % TURNS].mean(0) for turn in range(TURNS)]
    return torch.stack(turned, 1)
