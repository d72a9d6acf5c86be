"""What a method in training makes of whole sets of images."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from spice_cli.methods.plan import Embed
from spice_cli.ops.augment import plain
from spice_cli.ops.residence import brought
from spice_cli.stages.job import Job


def embedder(
    method: nn.Module,
    images: Tensor,
    job: Job,  # type: ignore[type-arg]
    *,
    batch: int,
    compiled: bool = False,
) -> Embed:
    """Return what maps all `images` (m, 3, h, w) uint8, `batch` at a time, by a map of `method`'s.

    A `compiled` method runs uncompiled for it: in evaluation, at other sizes, it would be compiled
    anew, and CUDA graphs would overwrite rows that are still needed.
    """

    @torch.no_grad()
    def embed(of: Callable[[Tensor], Tensor]) -> Tensor:
        training, at = method.training, 0
        out = torch.empty(0)
        method.eval()
        with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
            for part in torch.split(images, batch):
                pixels = plain(brought(part, job.device)).contiguous(
                    memory_format=torch.channels_last
                )
                with job.autocast():
                    rows = of(pixels).float()
                out = out if at else rows.new_empty(len(images), rows.shape[1])
                out[at : at + len(rows)] = rows
                at += len(rows)
        method.train(training)
        return out

    return embed
