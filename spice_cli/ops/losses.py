"""Losses of SPICE's heads (https://arxiv.org/abs/2103.09382, section 3.2)."""

from collections.abc import Callable

from torch import Tensor

FLOOR = 1e-5
"""Least mean probability that `mean_entropy` takes the logarithm of."""


def plain(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy (...) of logits (..., k) with target classes (...)."""
    return -logits.log_softmax(-1).gather(-1, target[..., None]).squeeze(-1)


def double_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy (...) whose logits are the softmax of logits (..., k).

    Equation 4. It runs from ln(e + k - 1) - 1 for a sure and right output, over ln(k) for an even
    one, to ln(e + k - 1) for a sure and wrong one.
    """
    return plain(logits.softmax(-1), target)


def temperature_scaled(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy (...) of logits (..., k) divided by `temperature`."""
    return plain(logits / temperature, target)


SELF_LABEL_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "double-softmax": lambda logits, target, _: double_softmax(logits, target),
    "plain": lambda logits, target, _: plain(logits, target),
    "temperature": temperature_scaled,
}
"""(logits (..., k), target (...), temperature) -> losses (...)."""


def mean_entropy(probs: Tensor, floor: float = FLOOR) -> Tensor:
    """Return the entropy (...) in nats of the mean over samples of probs (..., n, k).

    Largest, ln(k), where clusters are used evenly; shares are raised to at least `floor`.
    """
    share = probs.mean(-2).clamp(min=floor)
    return -(share * share.log()).sum(-1)
