"""What a head's log says of its clusters without any labels."""

import torch
from pydantic import JsonValue
from torch import Tensor

from spice_cli.ops.agreement import agreement


def quality(labels: Tensor, losses: Tensor, clusters: int) -> dict[str, JsonValue]:
    """Describe the clusters (h, n) of h heads whose selection losses are (h,), lower is better.

    `selection_loss`, `head` (the one it is of), its `largest_share` of the images and number of
    `empty` clusters, and with several heads their `agreement`: the mean NMI of all pairs.
    """
    head = int(losses.argmin())
    sizes = torch.bincount(labels[head], minlength=clusters)
    record: dict[str, JsonValue] = {
        "selection_loss": float(losses[head]),
        "head": head,
        "largest_share": float(sizes.max() / labels.shape[1]),
        "empty": int((sizes == 0).sum()),
    }
    if len(labels) > 1:
        record["agreement"] = float(agreement(labels, clusters))
    return record
