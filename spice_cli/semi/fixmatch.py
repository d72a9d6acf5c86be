"""FixMatch: confident predictions on weak views teach strong views.

https://arxiv.org/abs/2001.07685; equation 6 of https://arxiv.org/abs/2103.09382.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fixmatch(
    model: nn.Module,
    labelled: Tensor,
    label: Tensor,
    weak: Tensor,
    strong: Tensor,
    *,
    threshold: float,
    weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss (), and of each unlabelled image its guess (u,) and if that was sure (u,).

    `labelled` (b, 3, h, w) are weak views with reliable labels `label` (b,); `weak` and `strong`
    (u, 3, h, w) are two views of the same unlabelled images. All go through the model at once, so
    batch norm sees one distribution.
    """
    logits = model(torch.cat([labelled, weak, strong])).float()
    known, calm, shaken = logits.split([len(labelled), len(weak), len(strong)])
    confidence, guess = calm.detach().softmax(1).max(1)
    sure = (confidence >= threshold).float()
    taught = (F.cross_entropy(shaken, guess, reduction="none") * sure).mean()
    return F.cross_entropy(known, label) + weight * taught, guess, sure
