"""Backbones out of files of weights: found, renamed and checked against ours."""

import shlex
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spice_cli.config.pretrain import Pretrain
from spice_cli.errors import InvalidError, UsageError
from spice_cli.models.foreign import Network, looks, networks, preferred
from spice_cli.run.files import quoted
from spice_cli.stages.backbone import build
from spice_cli.stages.weight_files import read_weights


@dataclass(frozen=True)
class Weights:
    """A network in a file, and all the file's tensors."""

    file: Path
    tensors: dict[str, Tensor]
    network: Network

    def left_out(self, taken: Container[str] = ()) -> str:
        """Name, in groups, what is in the file beside the network and what else was `taken`."""
        own = self.network.owns
        others = [name for name in self.tensors if not own(name) and name not in taken]
        groups = Counter(_group(name, self.network.prefix) for name in others)
        named = [f"`{group}` ({count})" for group, count in groups.most_common(5)]
        more = f" and {len(groups) - len(named)} more" if len(groups) > len(named) else ""
        return ", ".join(named) + more


def find(file: Path, part: str | None = None) -> Weights:
    """Read a file of weights and find the network in it, or the one under the prefix `part`.

    Raises:
        MissingError: there is no such file.
        InvalidError: it cannot be read, or holds no network that we know.
        UsageError: it holds several and none was named, or none as named.
    """
    tensors = read_weights(file)
    found = networks(tensors)
    if not found:
        some = ", ".join(f"`{name}`" for name in list(tensors)[:3])
        raise InvalidError(
            f"`{file}` holds no ResNet that we know, {f'but {some} ...' if some else 'no tensors'}",
            hint="known are the names of torchvision, timm, lightly and `spice`, under any prefix",
        )
    prefixes = [network.prefix.removesuffix(".") for network in found]
    if part is None:
        network = preferred(found)
        fault = "and which is meant is unclear"
    else:
        named = [n for n, p in zip(found, prefixes, strict=True) if p == part.removesuffix(".")]
        network = named[0] if named else None
        fault = f"none under `{part}`"
    if network is None:
        raise UsageError(
            f"`{file}` holds networks under {', '.join(f'`{p}`' for p in prefixes)}, {fault}",
            hint=f"spice import {quoted(file)} --part {shlex.quote(prefixes[0])}",
        )
    return Weights(file, tensors, network)


def settled(weights: Weights, config: Pretrain, size: int) -> dict[str, Any]:
    """Return the backbone, width and stem of a network, for images of `size` pixels.

    Whether a 3x3 stem pools cannot be seen from weights: the config's stem stays if it can be the
    network's; else it is the one without pooling up to 48 pixels, the one with it above.
    """
    look = looks(weights.network, weights.tensors)
    stem: str = config.stem
    if look.stems and stem not in look.stems:
        stem = look.stems[0 if size <= 48 else -1]
    found = {"backbone": look.backbone or config.backbone, "width": look.width, "stem": stem}
    return {key: value for key, value in found.items() if value is not None}


def backbone_tensors(weights: Weights, config: Pretrain, size: int) -> dict[str, Tensor]:
    """Return a network's tensors under the names of the backbone that a config describes.

    Counters of batches, which old files lack, are set to 0.

    Raises:
        InvalidError: tensors are missing, left over, or of other shapes; by the file's own names.
    """
    with torch.device("meta"):
        state = build(config.backbone, config, size).state_dict()
    network, tensors = weights.network, weights.tensors
    names = {ours: network.name(ours) for ours in state}
    faults = [
        f"`{theirs}` is missing"
        for theirs in names.values()
        if theirs not in tensors and not theirs.endswith("num_batches_tracked")
    ]
    known = set(names.values())
    faults += [f"`{n}` is unknown" for n in tensors if network.owns(n) and n not in known]
    faults += [
        f"`{theirs}` is {tuple(tensors[theirs].shape)}, not {tuple(state[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in tensors and tensors[theirs].shape != state[ours].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InvalidError(
            f"the weights do not fit `{config.backbone}`: {'; '.join(faults[:3])}{more}",
            hint=f"`spice import {quoted(weights.file)}` finds a backbone, its width and stem by "
            "itself",
        )
    zero = torch.zeros((), dtype=torch.int64)
    return {
        f"backbone.{ours}": tensors.get(theirs, zero).to(state[ours].dtype)
        for ours, theirs in names.items()
    }


def _group(name: str, prefix: str) -> str:
    """Cut a name behind the first part in which it is not the prefix."""
    parts = name.split(".")
    shared = sum(a == b for a, b in zip(parts, prefix.split("."), strict=False))
    return ".".join(parts[: shared + 1])
