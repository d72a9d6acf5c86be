"""Learning rates and averaging rates as functions of the step."""

import math


def cosine(
    step: float, steps: float, *, base: float, warmup: float = 0.0, final: float = 0.0
) -> float:
    """Return the rate at `step` of `steps`: up to `base` in a line, then half a cosine to `final`.

    The rise takes `warmup` steps and begins above zero; at `step == warmup` the rate is `base`, at
    `step >= steps` it is `final` (https://arxiv.org/abs/1608.03983, without restarts).
    """
    if step < warmup:
        return base * (step + 1) / (warmup + 1)
    if step >= steps:
        return final
    done = (step - warmup) / (steps - warmup)
    return final + (base - final) * (1 + math.cos(math.pi * done)) / 2


def cosine_7_16(step: float, steps: float, base: float) -> float:
    """Return FixMatch's rate, base * cos(7 pi step / (16 steps)): it ends at a fifth of `base`.

    https://arxiv.org/abs/2001.07685, section 2.3.
    """
    return base * math.cos(7 * math.pi * step / (16 * steps))


def ema_decay(step: int, decay: float) -> float:
    """Return the decay of a moving average at `step` (from 0): `decay`, or less at first.

    min(decay, (1 + step) / (10 + step)), so that a short run is not dominated by its start.
    """
    return min(decay, (1 + step) / (10 + step))


def semi_steps(reliable: int, images: int, batch_size: int, ratio: int) -> int:
    """Return how many steps to plan for `reliable` labels among `images` images.

    Every label is seen 32 times, `batch_size` of them a step, and every image 64 times beside
    them, `ratio` times as many a step, whichever takes longer; at least 500 steps and at most
    100,000. CIFAR-10 with 20,000 and 40,000 reliable labels: 10,000 and 20,000 steps of 64.
    """
    labels = 32 * reliable / batch_size
    pool = 64 * images / (batch_size * ratio)
    return min(max(math.ceil(max(labels, pool)), 500), 100_000)
