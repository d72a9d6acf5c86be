"""What in an image made it belong: the cosine of each place with the cluster's centre.

As figure 3 of https://arxiv.org/abs/2103.09382 shows it, on the frozen backbone's feature maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.models.backbone import Backbone
from spice_cli.ops.augment import plain

COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""From least to most: five of matplotlib's `viridis`, in order for colour-blind eyes too."""
BLOCK = 32


@torch.no_grad()
def likeness(backbone: Backbone, images: Tensor, centers: Tensor) -> Tensor | None:
    """Return the cosine (n, h', w') of every place of images (n, 3, h, w) with centres (n, d).

    None where the places have other features than the images.
    """
    device = next(backbone.parameters()).device
    parts = []
    for pictures, center in zip(*(torch.split(t, BLOCK) for t in (images, centers)), strict=True):
        maps = F.normalize(backbone.maps(plain(pictures.to(device))).float(), dim=1)
        if maps.shape[1] != center.shape[1]:
            return None
        toward = F.normalize(center.to(device), dim=1)
        parts.append(torch.einsum("ndhw,nd->nhw", maps, toward).cpu())
    return torch.cat(parts)


def scale(heat: Tensor) -> tuple[float, float]:
    """Return the range of colours for heat (n, h', w'): all but the outer fiftieths."""
    flat = heat.flatten()
    step = -(-len(flat) // 2**20)
    low, high = flat[::step].float().quantile(torch.tensor([0.02, 0.98])).tolist()
    return low, max(high, low + 1e-3)


def overlay(images: Tensor, heat: Tensor, low: float, high: float) -> Tensor:
    """Paint heat (n, h', w') over images (n, 3, h, w) uint8, by `COLOURS` from `low` to `high`."""
    share = ((heat - low) / (high - low)).clamp(0, 1)
    size = tuple(images.shape[-2:])
    wide = F.interpolate(share[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    at = wide * (len(COLOURS) - 1)
    below = at.floor().clamp(max=len(COLOURS) - 2)
    colours = torch.tensor(COLOURS, dtype=torch.float32)
    left, right = colours[below.long()], colours[below.long() + 1]
    colour = torch.lerp(left, right, (at - below)[..., None]).permute(0, 3, 1, 2)
    gray = images.cpu().float().mean(1, keepdim=True)
    return (0.45 * gray + 0.55 * colour).round_().clamp_(0, 255).to(torch.uint8)
