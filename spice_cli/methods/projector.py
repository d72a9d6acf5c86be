"""The head between backbone and contrastive loss, dropped after pretraining."""

from torch import nn


def projector(features: int, hidden: int | None, dim: int, *, batch_norm: bool) -> nn.Sequential:
    """Two linear layers (n, features) to (n, dim) around ReLU, `hidden` wide (none: `features`).

    https://arxiv.org/abs/2002.05709, section 2.1; `batch_norm` before the ReLU. With `hidden` 0 it
    is one linear layer, as MoCo's was at first (https://arxiv.org/abs/1911.05722).
    """
    if hidden == 0:
        return nn.Sequential(nn.Linear(features, dim))
    hidden = hidden or features
    return nn.Sequential(
        nn.Linear(features, hidden, bias=not batch_norm),
        nn.BatchNorm1d(hidden) if batch_norm else nn.Identity(),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, dim),
    )
