"""The target network that an online network is to agree with, and the predictor between the two.

BYOL, https://arxiv.org/abs/2006.07733, section 3; sizes and initial weights as ProPos has them.
"""

import math
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spice_cli.methods.projector import projector
from spice_cli.methods.splits import in_parts
from spice_cli.models.backbone import Backbone


class Target(nn.Module):
    """A copy of backbone and projector that trails them: own = ema * own + (1 - ema) * online.

    Only parameters are averaged; batch norms keep the statistics of what passes this copy.
    `steps` is how long `ema` takes to rise to 1 by half a cosine (BYOL, section 3.3); none: it
    stays. The steps are counted on the device.
    """

    step: Tensor

    def __init__(
        self, backbone: Backbone, projector: nn.Module, *, ema: float, steps: int | None
    ) -> None:
        super().__init__()
        self.backbone = deepcopy(backbone).requires_grad_(False)
        self.projector = deepcopy(projector).requires_grad_(False)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.ema, self.steps = ema, steps

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to unit rows (n, p) float32, without a gradient."""
        return F.normalize(self.projector(self.backbone(images)).float())

    @torch.no_grad()
    def both(self, views: Tensor, splits: int, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) to unit rows (2n, p), each view on its own in batch norms.

        With more than one of `splits`, into which each view's batch norms are split, all images
        are shuffled before, so that none gets the statistics that it has in the online network.
        """
        images, parts = views.flatten(0, 1), 2 * splits
        if splits == 1 or not self.training:
            rows = in_parts(self.projector, self.backbone(images), parts)
        else:
            order = torch.randperm(len(images), generator=generator, device=images.device)
            rows = in_parts(self.projector, self.backbone(images[order]), parts)[order.argsort()]
        return F.normalize(rows.float())

    @torch.no_grad()
    def follow(self, backbone: nn.Module, projector: nn.Module) -> None:
        """Move by one step towards the online network."""
        own: list[Tensor] = [*self.backbone.parameters(), *self.projector.parameters()]
        online: list[Tensor] = [*backbone.parameters(), *projector.parameters()]
        ahead = torch._foreach_sub(online, own)
        torch._foreach_mul_(ahead, 1 - ema_at(self.step, self.ema, self.steps))
        torch._foreach_add_(own, ahead)
        self.step.add_(1)


def ema_at(step: Tensor, ema: float, steps: int | None) -> Tensor:
    """Return the share () float32 of the target that `step` () keeps.

    1 - (1 - ema) (cos(pi step / steps) + 1) / 2, or `ema` where `steps` is none.
    """
    if steps is None:
        return torch.full_like(step, ema, dtype=torch.float32)
    done = step.clamp(max=steps).float() / steps
    return 1 - (1 - ema) * (torch.cos(math.pi * done) + 1) / 2


def ema_for(steps: int) -> float:
    """Return the references' .996, or less where a training of so many steps is short.

    A target forgets its random start in some 1 / (1 - ema) steps, 250 of the references' 100,000
    and more; here in no more than a twentieth of the steps.
    """
    return max(0.5, min(0.996, 1 - 20 / steps))


def width_for(features: int) -> int:
    """Return the width of hidden layers: 4096 for every ResNet, less for narrower networks."""
    return min(8 * features, 4096)


def predictor(dim: int, hidden: int) -> nn.Sequential:
    """Two linear layers (n, dim) to (n, dim) around batch norm and ReLU, `hidden` wide.

    Weights start at a deviation of .01.
    """
    head = projector(dim, hidden, dim, batch_norm=True)
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return head


def disagreement(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance () of the rows (n, p), brought to unit length, to unit `target` rows.

    2 - 2 cos (BYOL, equation 2). In float32 also under autocast.
    """
    return 2 - 2 * (F.normalize(predicted.float()) * target).sum(1).mean()
