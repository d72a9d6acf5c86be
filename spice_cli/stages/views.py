"""Features of random views, made anew or drawn from those that `embed` stored."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spice_cli.config.self_label import SelfLabel
from spice_cli.errors import UsageError
from spice_cli.heads.source import Draw
from spice_cli.ops.residence import picked
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.features import features, strong_view, weak_view
from spice_cli.stages.job import Job
from spice_cli.stages.origin import network_of


def live_views(backbone: nn.Module, images: Tensor, job: Job[SelfLabel]) -> tuple[Draw, Draw]:
    """Return what draws a weak and a strong view of rows (b,) and returns its features (b, d)."""
    config = job.config

    def weak(rows: Tensor, generator: torch.Generator) -> Tensor:
        view = weak_view(config.weak, generator)
        return features(backbone, picked(images, rows), view, job, batch_size=512)

    def strong(rows: Tensor, generator: torch.Generator) -> Tensor:
        view = strong_view(config.strong, generator)
        return features(backbone, picked(images, rows), view, job, batch_size=512)

    return weak, strong


def stored_views(stored: Mapping[str, Tensor], kind: str) -> tuple[Draw, Draw]:
    """Return the same from `weak` and `strong` (v, n, d); by `plain`, from the embeddings."""
    one = stored["embeddings"][None]
    weak, strong = (stored["weak"], stored["strong"]) if kind == "cached" else (one, one)

    def draw(views: Tensor) -> Draw:
        def drawn(rows: Tensor, generator: torch.Generator) -> Tensor:
            shape, device = rows.shape, rows.device
            which = torch.randint(len(views), shape, generator=generator, device=device)
            return views[which, rows]

        return drawn

    return draw(weak), draw(strong)


def has_pixels(run: Run) -> bool:
    """Whether there are images, and the backbone that made the embeddings."""
    ours = Stage.PRETRAIN in run.manifest.stages and not run.record(Stage.EMBED).imported
    return ours and run.manifest.data.spec is not None


def choose_views(views: str, run: Run) -> str:
    """Turn `auto` into the first of `cached`, `live` and `plain` that can be had."""
    cached = {"weak", "strong"} <= run.record(Stage.EMBED).tensors.keys()
    live = has_pixels(run)
    if views == "auto":
        ours = live and network_of(run.manifest) is None
        return "cached" if cached else "live" if ours else "plain"
    if views == "cached" and not cached:
        raise UsageError(
            "`embed` stored no weak and strong views",
            hint=f"spice embed --views 4 -r {quoted(run.path)}",
        )
    if views == "live" and not live:
        raise UsageError(
            "live views need images and the backbone that embedded them", hint="--set views=plain"
        )
    return views
