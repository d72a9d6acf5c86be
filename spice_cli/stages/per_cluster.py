"""One line of text for each cluster."""

import torch
from torch import Tensor

from spice_cli.stages.assignments import Assignments


def per_cluster(
    found: Assignments, target: Tensor | None = None, names: dict[int, str] | None = None
) -> list[list[str]]:
    """Return number, size and mean confidence of every cluster, empty ones too, merged ones not.

    With the classes `target` (m,) and their `names` also its most frequent class and purity.
    """
    rows = []
    for cluster in found.numbers:
        mine = found.cluster == cluster
        size = int(mine.sum())
        row = [str(cluster), f"{size:,}"]
        row.append(f"{float(found.confidence[mine].mean()):.3f}" if size else "-")
        if target is not None and names:
            top = torch.bincount(target[mine], minlength=1)
            row += [names[int(top.argmax())], f"{int(top.max()) / size:.3f}"] if size else ["-"] * 2
        rows.append(row)
    return rows
