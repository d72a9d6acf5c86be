"""MoCo v2: tell the other view of an image from a queue of earlier images.

https://arxiv.org/abs/2003.04297, on one device as in the authors' CIFAR-10 notebook:
https://colab.research.google.com/github/facebookresearch/moco/blob/colab-notebook/colab/moco_cifar10_demo.ipynb
"""

from copy import deepcopy
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from spice_cli.config.frozen import Count, Frozen, Positive
from spice_cli.methods.plan import Embed, Plan
from spice_cli.methods.projector import projector
from spice_cli.methods.splits import check_splits
from spice_cli.models.backbone import Backbone
from spice_cli.models.split_batch_norm import split_batch_norm


class MoCo(nn.Module):
    """Two views of the same images in, InfoNCE out.

    `backbone`, the query encoder, is what is kept, as SPICE does: gradients reach it, and the key
    encoder only trails it. Its batch norms are split in place, with unchanged state-dict keys.
    Initial weights and queue come from PyTorch's default generator, as every layer's do.
    """

    class Config(Frozen):
        """What a person can set beside the settings of every pretraining.

        The defaults are the notebook's. SPICE takes a queue of 12800 (CIFAR-10), ema .999,
        temperature .2 and four GPUs, which are 4 splits.
        """

        queue: Count = 4096
        """How many earlier keys are the negatives (K)."""
        ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
        """Share of the key encoder that a step keeps (m)."""
        temperature: Positive = 0.1
        symmetric: bool = False
        """Add the loss with the views' roles swapped: twice the loss and twice the keys a step."""
        splits: Count = 8
        """Parts of a batch that batch norm treats on their own; 1 is plain batch norm."""
        hidden: Annotated[int, Field(ge=0)] | None = None
        """Width of the projector's hidden layer; none is the width of the features, 0 no layer."""
        dim: Count = 128
        """Width of queries and keys."""

    crops = 2
    """Views of each image."""
    queue: Tensor
    pointer: Tensor

    def __init__(self, backbone: Backbone, config: Config, plan: Plan) -> None:
        super().__init__()
        splits = config.splits * (2 if config.symmetric else 1)
        if splits > 1:
            split_batch_norm(backbone, splits)
        self.backbone = backbone
        self.projector = projector(backbone.features, config.hidden, config.dim, batch_norm=False)
        self.key_backbone = deepcopy(backbone).requires_grad_(False)
        self.key_projector = deepcopy(self.projector).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(config.queue, config.dim)))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.config, self.plan = config, plan

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Two views (2, n, 3, h, w) to a scalar; in training the key encoder and the queue move on.

        `generator`, on the device of the views, shuffles the keys' batch before it is split.
        """
        return self.contrast(views, generator)[0]

    def contrast(self, views: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Do as `forward`; return the loss and the unit queries (n, d), where symmetric (2n, d)."""
        if self.training:
            self._follow()
        queue = self.queue.clone()
        images, others = views
        if self.config.symmetric:
            images, others = views.flatten(0, 1), views.flip(0).flatten(0, 1)
        keys = self._keys(others, generator)
        queries = F.normalize(self.projector(self.backbone(images)).float())
        loss = info_nce(queries, keys, queue, self.config.temperature)
        if self.training:
            self._enqueue(keys)
        return (2 * loss if self.config.symmetric else loss), queries

    @torch.no_grad()
    def _keys(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return unit keys (n, d), shuffled while they pass split batch norm."""
        if self.config.splits == 1 or not self.training:
            return F.normalize(self.key_projector(self.key_backbone(images)).float())
        order = torch.randperm(len(images), generator=generator, device=images.device)
        keys = F.normalize(self.key_projector(self.key_backbone(images[order])).float())
        return keys[order.argsort()]

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the key encoder's parameters: key = ema * key + (1 - ema) * query."""
        keys: list[Tensor] = [*self.key_backbone.parameters(), *self.key_projector.parameters()]
        queries: list[Tensor] = [*self.backbone.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(keys, queries, 1 - self.config.ema)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys of the queue, going round at its end, by these (n, d)."""
        size = len(self.queue)
        newest = keys[-size:]
        start = self.pointer + (len(keys) - len(newest))
        places = (start + torch.arange(len(newest), device=keys.device)) % size
        self.queue.index_copy_(0, places, newest)
        self.pointer.add_(len(keys)).remainder_(size)

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        """Return the keys of all images, `projections` (m, dim): what is clustered of MoCo."""
        keys = embed(lambda pixels: self.key_projector(self.key_backbone(pixels)))
        return {"projections": F.normalize(keys, out=keys)}

    def faults(self) -> list[str]:
        """Name settings that are known to fail on so many images, a sentence each.

        Raises UsageError where `splits` does not divide the batch into parts of two or more.
        """
        queue, images = self.config.queue, self.plan.images
        check_splits(self.plan.batch, self.config.splits)
        if queue >= images:
            return [
                f"the queue of {queue} is not smaller than the data set of {images} images, "
                "so an image meets its own earlier keys as negatives"
            ]
        return []


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of picking a query's own key among it and the queue (MoCo, equation 1).

    Unit rows: `queries` and `keys` (n, d), `queue` (K, d). In float32 also under autocast.
    """
    with torch.autocast(queries.device.type, enabled=False):
        own = (queries * keys).sum(1, keepdim=True)
        logits = torch.cat([own, queries @ queue.T], 1) / temperature
        return F.cross_entropy(logits, torch.zeros_like(keys[:, 0], dtype=torch.long))
