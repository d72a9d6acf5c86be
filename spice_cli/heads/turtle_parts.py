"""What TURTLE trains with: Adam over maps of several spaces, and the losses it chooses by."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from spice_cli.heads.labelling import task_labels
from spice_cli.heads.linear import LinearHeads


class Scores(nn.Module):
    """The losses (h,) that restarts are chosen by."""

    losses: Tensor

    def __init__(self, losses: Tensor) -> None:
        super().__init__()
        self.register_buffer("losses", losses)


def adam(maps: Sequence[LinearHeads], rate: float) -> torch.optim.Adam:
    """Make Adam for the maps of all spaces."""
    weights = [weight for each in maps for weight in each.parameters()]
    return torch.optim.Adam(weights, lr=rate, fused=True, capturable=weights[0].is_cuda)


def forget(optimizer: torch.optim.Optimizer) -> None:
    """Set weights and moments back to nothing, without waiting for the device."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = [value for state in optimizer.state.values() for value in state.values()]
    for tensor in (*weights, *moments):
        tensor.zero_()


def logits_of(maps: Sequence[LinearHeads], spaces: Sequence[Tensor]) -> list[Tensor]:
    """Return the logits (h, n, k) of every space's rows (n, d_i)."""
    return [each(rows) for each, rows in zip(maps, spaces, strict=True)]


@torch.no_grad()
def labels_of(maps: Sequence[LinearHeads], spaces: Sequence[Tensor]) -> Iterator[Tensor]:
    """Go through the labels (h, rows, k) of every space's rows (n, d_i), some rows at a time."""
    for rows in zip(*(torch.split(x, 4096) for x in spaces), strict=True):
        yield task_labels(logits_of(maps, rows))
