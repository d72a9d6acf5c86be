"""What a run would do, stage by stage, and what it would take, before anything is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spice_cli.run.store import Run
from spice_cli.stages.look import Line, Look
from spice_cli.stages.pending import pending
from spice_cli.stages.pretrained import Found

GUESS = 10
"""Clusters to calculate with where their number is not known yet."""


def forecast(
    run: Run,
    configs: Mapping[str, Any],
    *,
    clusters: int | None,
    seed: int,
    device: torch.device,
    network: Found | None,
) -> list[Line]:
    """Return what every stage would take; what is to be done is timed on this machine."""
    states = pending(run, configs, seed)
    if network is not None:
        states["pretrain"] = "taken from a file"
    look = Look(run, configs, clusters or run.manifest.data.classes or GUESS, device, network)
    lines = []
    for name in configs:
        line = Line(name, states[name])
        lines.append(look.at(line) if states[name] == "to do" else line)
    return lines


def total(lines: Sequence[Line]) -> tuple[float, float]:
    """Return the least and the most seconds of all lines."""
    known = [line.seconds for line in lines if line.seconds]
    return sum(low for low, _ in known), sum(high for _, high in known)


def free_disk(path: Path) -> int:
    """Return the free bytes of the disk that a directory is on, or would be."""
    import shutil

    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
