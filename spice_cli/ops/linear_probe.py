"""How far labels can be read off frozen features by a linear classifier."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.ops.lars import Lars
from spice_cli.ops.schedule import cosine

STEPS = 32
"""Least number of updates an epoch: smaller sets get smaller batches than the references'."""
EPOCHS = {"sgd": 100, "lars": 90}
BATCH = {"sgd": 256, "lars": 4096}


def linear_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    generator: torch.Generator,
    optimizer: Literal["sgd", "lars"] = "sgd",
    progress: Callable[[int], None] = lambda images: None,
) -> float:
    """Return the share of test samples that a linear classifier of the train samples gets right.

    Linear evaluation as in MoCo and ProPos: weights N(0, .01^2), bias 0, momentum .9, no weight
    decay, the last epoch's classifier. `sgd`: 100 epochs in batches of 256 at 30, a tenth of it
    after 60 and a hundredth after 80. `lars`: 90 epochs in batches of 4096 at 1.6, along a cosine
    to zero. Batches are at most 1/32 of the train samples. The rate of `sgd` shrinks with
    them; that of `lars` stays, since its steps are shares of the weights' length and of a smaller
    rate a small set would not have enough of them.

    Unlike there features (n, d) and (m, d) are brought to unit length and not augmented. Labels
    (n,) and (m,) may be any integers. `progress` is told of the images of every epoch.
    """
    x, others = F.normalize(train_x.float()), F.normalize(test_x.float())
    classes, index = torch.unique(train_y, return_inverse=True)
    n, device = len(x), x.device
    batch = max(1, min(BATCH[optimizer], n // STEPS))
    steps, epochs = n // batch, EPOCHS[optimizer]
    start = torch.randn(len(classes), x.shape[1], generator=generator, device=device)
    weight = nn.Parameter(0.01 * start)
    bias = nn.Parameter(torch.zeros(len(classes), device=device))
    chosen = _optimizer(optimizer, [weight, bias], batch)
    base = chosen.param_groups[0]["lr"]
    for epoch in range(epochs):
        order = torch.randperm(n, generator=generator, device=device)[: steps * batch]
        for step, rows in enumerate(order.view(steps, batch)):
            done = epoch * steps + step
            if optimizer == "sgd":
                rate = base * 0.1 ** ((epoch >= 60) + (epoch >= 80))
            else:
                rate = cosine(done, epochs * steps, base=base)
            chosen.param_groups[0]["lr"] = rate
            loss = F.cross_entropy(F.linear(x[rows], weight, bias), index[rows])
            chosen.zero_grad()
            torch.autograd.backward(loss)
            chosen.step()
        progress(n)
    with torch.no_grad():
        guess = classes[F.linear(others, weight, bias).argmax(1)]
    return int((guess == test_y).sum()) / len(test_y)


def stratified(labels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Mark a random `share` of each class of `labels` (n,), rounded: (n,) bool."""
    n, device = len(labels), labels.device
    index, sizes = torch.unique(labels, return_inverse=True, return_counts=True)[1:]
    order = torch.randperm(n, generator=generator, device=device)
    order = order[index[order].argsort(stable=True)]
    first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    place = torch.arange(n, device=device) - first
    marked = torch.zeros(n, dtype=torch.bool, device=device)
    marked[order] = place < (share * sizes).round().repeat_interleave(sizes)
    return marked


def _optimizer(name: str, parameters: list[nn.Parameter], batch: int) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=30 * batch / BATCH["sgd"], momentum=0.9)
    return Lars(parameters, lr=1.6)
