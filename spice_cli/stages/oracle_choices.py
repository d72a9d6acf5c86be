"""What an oracle may choose from: the clusters of every head of `self-label`, as far as stored."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spice_cli.errors import MissingError, SpiceError
from spice_cli.json_text import parse_json
from spice_cli.ops.augment import plain
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.features import fitting
from spice_cli.stages.images import images_of
from spice_cli.stages.model import autocast
from spice_cli.stages.restored import model_of
from spice_cli.stages.stored_heads import (
    believed,
    clusters_of_features,
    clusters_of_heads,
    heads_in,
    rebuilt,
)
from spice_cli.track import Track

ALONE = {"centers", "means"}
"""Names of what methods leave that keep the best of their restarts and nothing of the others."""


@dataclass(frozen=True)
class Choices:
    """Clusters (h, n) of each head, their selection losses (h,), and what cannot be asked."""

    clusters: Tensor
    losses: Tensor
    lacks: str


def choices(run: Run, track: Track) -> Choices:
    """Return the clusters of every head that `self-label` left.

    Heads of a network that was trained with them are read by passing all images through it. Where
    one clustering is all that is left, that is the only choice.

    Raises:
        MissingError: `self-label` is not there, or left heads that cannot be read again.
    """
    stored, config = run.read(Stage.SELF_LABEL), run.record(Stage.SELF_LABEL).config
    losses, names = stored.get("losses"), heads_in(stored).keys()
    settings = config.get("settings")
    later = isinstance(settings, dict) and bool(settings.get("self_label"))
    trained = any(name.startswith("model.") for name in stored)
    epoch = f"no heads are stored but those {_epoch(run, losses)}, so no best epoch can be named"
    alone = "one clustering is all that is stored, so there is nothing to choose from"
    clusters = None
    if losses is None or not names:
        pass
    elif trained and later:
        clusters = clusters_of_features(run, stored) if _frozen(settings) else None
        epoch = f"these are the heads before the self-labelling step, and {epoch}"
        alone = f"{alone}: self-labelling has changed the network of the heads"
    elif trained and len(losses) > 1:
        clusters = _through_network(run, stored, track)
    elif not trained:
        clusters = clusters_of_heads(run)
    if losses is not None and clusters is not None:
        return Choices(clusters, losses, epoch)
    if losses is not None and (ALONE & names or (trained and (later or len(losses) == 1))):
        return Choices(stored["probs"].argmax(1)[None], losses.min()[None], alone)
    raise MissingError(
        f"`{config.get('method', 'it')}` stored no heads that an oracle could choose from",
        hint=f"spice self-label --method spice --force -r {quoted(run.path)}",
    )


def _frozen(settings: object) -> bool:
    return isinstance(settings, dict) and settings.get("backbone") == "frozen"


@torch.no_grad()
def _through_network(run: Run, stored: dict[str, Tensor], track: Track) -> Tensor | None:
    """Return the clusters (h, n) of heads on the network that was trained with them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model_of(run, device, stage=Stage.SELF_LABEL)
    images = images_of(run, track.say).images
    width = stored["model.fc.weight"].shape[1]
    dtype = torch.bfloat16 if model.bf16 else torch.float32
    heads = rebuilt(heads_in(stored), width, dtype)
    if heads is None:
        return None
    heads.to(device)
    found = []
    with track.bar("oracle", len(images)) as bar:
        for part in torch.split(images, fitting(512, images)):
            pixels = plain(part.to(device)).contiguous(memory_format=torch.channels_last)
            with autocast(pixels, model.bf16):
                features = model.backbone(pixels)
            found.append(heads(features.float()).argmax(-1).cpu())
            bar.advance(len(part))
    return believed(torch.cat(found, 1), stored["losses"], stored["probs"])


def _epoch(run: Run, losses: Tensor | None) -> str:
    """Name the epoch whose least selection loss was the one that the heads were stored with."""
    path = run.path / f"{Stage.SELF_LABEL}.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
        lines = [parse_json(line, f"`{path}`") for line in text.splitlines()]
        epochs = {int(line["epoch"]): float(line["selection_loss"]) for line in lines}
    except (OSError, SpiceError, ValueError, KeyError, TypeError):
        epochs = {}
    least = math.inf if losses is None else float(losses.min())
    same = [n for n, loss in epochs.items() if math.isclose(loss, least, rel_tol=1e-6)]
    return f"of epoch {same[-1]} of {max(epochs)}" if same else "of one epoch"
