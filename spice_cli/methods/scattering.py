"""Prototype scattering: clusters' mean directions are to lie apart, as ProPos has it."""

import torch
import torch.nn.functional as F
from torch import Tensor

ABSENT = -10.0
"""The reference's logit of a prototype that has no image in the batch."""


def prototype_scattering(
    online: Tensor, target: Tensor, labels: Tensor, clusters: int, temperature: float
) -> Tensor:
    """Mean cross-entropy () of telling a cluster's target prototype from other online prototypes.

    Rows are unit projections (n, p) of two views of the same images, labels (n,) int64 below
    `clusters` their pseudo-labels. A prototype is the mean of a cluster's rows in the batch, at
    unit length. With m_c online and t_c in the target network, the mean over the clusters present
    in the batch of

        -m_c t_c / T + log( exp(m_c t_c / T) + sum_(j != c) exp(m_c m_j / T) )

    in which m_c m_j / T is `ABSENT` for clusters j that are not (ProPos, equation 6, and as the
    released code treats absent clusters). Gradients flow through the online prototypes. In float32
    also under autocast.
    """
    with torch.autocast(online.device.type, enabled=False):
        every = torch.arange(clusters, device=labels.device)
        member = (labels == every[:, None]).float()
        present = member.amax(1)
        own, other = F.normalize(member @ online), F.normalize(member @ target)
        positive = (own * other).sum(1) / temperature
        logits = (own @ own.T / temperature).diagonal_scatter(positive)
        logits = logits.masked_fill(present == 0, ABSENT)
        losses = logits.logsumexp(1) - logits.diagonal()
        return (losses * present).sum() / present.sum()
