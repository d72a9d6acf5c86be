"""A head for what was answered: a perceptron on frozen features, fitted to soft targets."""

import math

import torch
from torch import Tensor

from spice_cli.heads.perceptrons import Heads
from spice_cli.track import Track

HIDDEN, BATCH, RATE, NOISE = 512, 256, 3e-3, 0.1
STEPS, PASSES = (300, 1500), 60
"""Updates at least and at most; between them as many as that many passes over the rows take."""


def fitted(
    features: Tensor, targets: Tensor, told: Tensor, generator: torch.Generator, track: Track
) -> Heads:
    """Return one perceptron that says of unit rows (m, d) what targets (m, k) say.

    Half of each batch are rows that were `told` (q,), at most each of them once; features get
    Gaussian noise of a tenth of a row's length, so that what holds of a row holds around it.
    """
    rows, width = features.shape
    head = Heads(1, width, min(HIDDEN, 4 * width), targets.shape[1], generator)
    head.to(features.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=1e-4)
    steps = min(max(PASSES * rows // BATCH, STEPS[0]), STEPS[1])
    few = min(len(told), BATCH // 2)
    device = features.device
    with track.bar("ask", steps * BATCH, unit="rows") as bar:
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
            some = torch.randint(rows, (BATCH - few,), generator=generator, device=device)
            picked = torch.randperm(len(told), generator=generator, device=device)[:few]
            batch = torch.cat([some, told[picked]])
            noise = torch.randn(len(batch), width, generator=generator, device=device)
            logits = head(features[batch] + noise * (NOISE / math.sqrt(width)))[0]
            loss = -(targets[batch] * logits.log_softmax(1)).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            bar.advance(BATCH)
    return head.requires_grad_(False)
