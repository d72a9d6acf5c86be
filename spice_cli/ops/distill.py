"""A linear layer that says what another head says."""

import torch
import torch.nn.functional as F
from torch import Tensor

DECAY = 1e-4
"""Weight of half the squared length of the weights, so that sure targets have a best fit."""
STEPS = 100


def linear_student(features: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight (k, d) and bias (k,) whose softmax comes nearest to probs (n, k).

    The least mean cross-entropy of features (n, d) float32, brought to zero mean and unit variance
    for the fit, with targets that need not be certain, by L-BFGS from zero. The problem is convex:
    nothing is drawn.
    """
    mean, spread = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    rows = (features - mean) / spread
    weight = features.new_zeros(probs.shape[1], features.shape[1], requires_grad=True)
    bias = features.new_zeros(probs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(rows @ weight.T + bias, probs) + DECAY / 2 * weight.square().sum()
        torch.autograd.backward(value)
        return value.detach()

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    folded = weight.detach() / spread
    return folded, bias.detach() - folded @ mean
