"""Weights of other programs: where a ResNet is among their tensors, and how its layers are called.

Known are torchvision's names (also timm's, FAIR's MoCo, SimCLR, SCAN, SPICE, ProPos and CC, each
under prefixes of its own), the same with `shortcut` for `downsample` (SCAN's and SPICE's networks
for CIFAR), a torchvision ResNet as a plain sequence of its children (lightly), and our own. What a
network is called is not looked at, only where its first block is; so prefixes need no list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Layout = Literal["named", "numbered", "ours"]
FIRST_BLOCK: dict[Layout, str] = {
    "named": r"(|.*\.)layer1\.0\.conv1\.weight",
    "numbered": r"(|.*\.)4\.0\.conv1\.weight",
    "ours": r"(|.*\.)body\.stages\.0\.0\.conv1\.weight",
}
PREFERRED = ("encoder_q", "target", "teacher", "ema")
"""Of several networks in a file the first that only one prefix names: MoCo's queries, whose encoder
its authors evaluate, and else the moving average, which ProPos and BYOL's relatives cluster."""
BACKBONES = {
    (1, 1, 1): "small",
    (2, 2, 2): "resnet14",
    (2, 2, 2, 2): "resnet18",
    (3, 4, 6, 3): "resnet34",
    (4, 4, 4): "wrn28-2",
    (4, 4, 4, 4): "wrn37-2",
}
"""By the blocks of each stage."""


@dataclass(frozen=True)
class Network:
    """A ResNet among tensors, and what its file calls its parts."""

    prefix: str
    """Of all its names, with the dot."""
    layout: Layout
    shortcut: str = "downsample"

    def name(self, ours: str) -> str:
        """Return what the file calls our tensor, as in `body.stages.0.0.conv1.weight`."""
        if self.layout == "ours":
            return self.prefix + ours
        stem, norm, stage, first = {
            "named": ("conv1", "bn1", "layer", 1),
            "numbered": ("0", "1", "", 4),
        }[self.layout]
        theirs = ours.replace("body.stem.0.", f"{stem}.").replace("body.stem.1.", f"{norm}.")
        theirs = re.sub(
            r"^body\.stages\.(\d+)\.", lambda found: f"{stage}{int(found[1]) + first}.", theirs
        )
        return self.prefix + theirs.replace(".downsample.", f".{self.shortcut}.")

    def owns(self, name: str) -> bool:
        """Tell whether a tensor belongs to the network's body, and not to what stands on it."""
        parts = {
            "named": r"(conv1|bn1|layer\d+)\.",
            "numbered": r"[014567]\.",
            "ours": "" if self.prefix else r"body\.",
        }[self.layout]
        return bool(re.match(re.escape(self.prefix) + parts, name))


def networks(tensors: Mapping[str, Tensor]) -> list[Network]:
    """Find every ResNet among tensors, by the name of its first block."""
    found = []
    for layout, pattern in FIRST_BLOCK.items():
        for hit in filter(None, (re.fullmatch(pattern, name) for name in tensors)):
            prefix = hit[1]
            if layout == "numbered" and f"{prefix}0.weight" not in tensors:
                continue
            other = any(name.startswith(prefix) and ".shortcut." in name for name in tensors)
            shortcut = "shortcut" if other and layout != "ours" else "downsample"
            found.append(Network(prefix, layout, shortcut))
    return found


def preferred(found: list[Network]) -> Network | None:
    """Choose the network that is evaluated; none where that cannot be told."""
    if len(found) == 1:
        return found[0]
    for word in PREFERRED:
        named = [network for network in found if word in network.prefix]
        if len(named) == 1:
            return named[0]
    return None


@dataclass(frozen=True)
class Looks:
    """Which backbone of ours a network looks like."""

    backbone: str | None
    """None: like none of ours."""
    width: int | None
    stems: tuple[str, ...]
    """Those that its first kernel fits; a pooling behind it cannot be seen from weights."""


def looks(network: Network, tensors: Mapping[str, Tensor]) -> Looks:
    """Tell which backbone, width and stem the tensors of a network have the shapes of."""
    blocks: list[int] = []
    while network.name(f"body.stages.{len(blocks)}.0.conv1.weight") in tensors:
        stage, count = f"body.stages.{len(blocks)}", 0
        while network.name(f"{stage}.{count}.conv1.weight") in tensors:
            count += 1
        blocks.append(count)
    backbone = BACKBONES.get(tuple(blocks))
    inner = tensors[network.name("body.stages.0.0.conv1.weight")]
    width = inner.shape[0] if inner.ndim == 4 else None
    bottleneck = network.name("body.stages.0.0.conv3.weight") in tensors
    if bottleneck:
        backbone = "resnet50" if backbone == "resnet34" else None
    if backbone == "wrn28-2" and width == 128:
        backbone = "wrn28-8"
    first = tensors.get(network.name("body.stem.0.weight"))
    kernel = first.shape[-1] if first is not None and first.ndim == 4 else 0
    stems = {7: ("imagenet",), 4: ("patch",), 3: ("small", "pool")}
    return Looks(backbone, width, stems.get(kernel, ()))
