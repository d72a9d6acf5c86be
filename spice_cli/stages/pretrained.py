"""A network that others trained becomes what `pretrain` left, so that `embed` comes first."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from spice_cli.data.spelling import text
from spice_cli.errors import InvalidError
from spice_cli.models.photos import missing
from spice_cli.models.pretrained import Facts, Family, Pretrained
from spice_cli.run.files import sha256
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.backbone import image_size, pretrained
from spice_cli.stages.perform import environment
from spice_cli.stages.weight_files import read_weights
from spice_cli.track import Track


@dataclass(frozen=True)
class Found:
    """A network by its name, and the file of its weights."""

    name: str
    network: Family
    file: Path
    facts: Facts
    own: bool
    """Whether a person named the file."""


def has_photos() -> bool:
    """Tell whether what the network `photos` needs is installed."""
    return not missing()


def find_pretrained(name: str, weights: Path | None, say: Callable[[str], None]) -> Found:
    """Find a network and its weights, without reading them.

    Raises:
        UsageError: there is no such network, or it cannot be used.
        MissingError: its package is not installed, or its weights are not to be had.
    """
    network = pretrained(name)
    file = network.locate(say) if weights is None else weights
    facts = network.facts(file, own=weights is not None)
    return Found(name, network, file, facts, weights is not None)


def adopt_pretrained(run: Run, found: Found, *, seed: int, track: Track, force: bool) -> None:
    """Record a network as what `pretrain` left, unless it is that already.

    Raises:
        MissingError: there is no such file.
        InvalidError: it cannot be read, or its weights do not fit the network.
    """
    tensors = read_weights(found.file)
    mark = sha256(found.file)
    facts = found.facts.at(image_size(run))
    source = {"name": text(found.file.resolve()), "sha256": mark, "flags": _flags(found)}
    config = {
        "backbone": found.name,
        "settings": facts.model_dump(mode="json"),
        "from": source,
    }
    record = run.manifest.stages.get(Stage.PRETRAIN)
    if (
        not force
        and record is not None
        and record.config == config
        and run.state(Stage.PRETRAIN, verify=True) == "done"
    ):
        track.say(f"`pretrain` has the weights of `{found.name}` already")
        return
    with torch.random.fork_rng(devices=[]):
        backbone = found.network.load(facts, tensors)
    _check(backbone.eval(), found.name)
    run.write(
        Stage.PRETRAIN,
        {f"backbone.{name}": value.contiguous() for name, value in backbone.state_dict().items()},
        config=config,
        inputs=run.inputs(),
        seed=seed,
        environment=environment(torch.device("cpu"), "fp32"),
        seconds=0.0,
        imported=True,
    )
    track.say(f"no `pretrain`: {facts.title}, {facts.trained}, from {found.file}")


@torch.no_grad()
def _check(backbone: Pretrained, name: str) -> None:
    """Raise InvalidError where features or maps of one image are not numbers as they should be."""
    image = torch.zeros(1, 3, backbone.side, backbone.side)
    pooled, maps = backbone(image), backbone.maps(image)
    sound = bool(pooled.isfinite().all()) and pooled.shape == (1, backbone.features)
    if not sound or maps.ndim != 4 or maps.shape[1] != backbone.features:
        raise InvalidError(
            f"`{name}` makes no features that can be used: {tuple(pooled.shape)} an image, "
            f"{tuple(maps.shape)} of its places",
            hint="--backbone timm/NAME of a convolutional network or a vision transformer",
        )


def _flags(found: Found) -> str:
    weights = f" --weights {shlex.quote(text(found.file.resolve()))}" if found.own else ""
    return f"--backbone {shlex.quote(found.name)}{weights}"
