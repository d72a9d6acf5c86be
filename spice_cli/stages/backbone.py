"""Building a run's backbone, and getting it back from what `pretrain` left."""

import shlex
from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from spice_cli.catalog import BACKBONES, PRETRAINED, load
from spice_cli.config.pretrain import Pretrain
from spice_cli.errors import InvalidError, UsageError
from spice_cli.models.backbone import Backbone
from spice_cli.models.pretrained import Facts, Family
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run


def build(name: str, config: Pretrain, size: int) -> Backbone:
    """Build a backbone for images of `size` pixels, with the weights still random.

    Width and stem are those of the config if the backbone is, else the backbone's own.
    """
    if name.partition("/")[0] in PRETRAINED:
        if name != config.backbone:
            raise UsageError(
                f"`{name}` comes with its weights, not untrained",
                hint=f"spice embed --backbone {shlex.quote(name)}",
            )
        return pretrained(name).build(facts_of(config))
    if name not in BACKBONES:
        raise UsageError(f"`{name}` is not a backbone; there are {', '.join(BACKBONES)}")
    ours = name == config.backbone
    width, stem = (config.width, config.stem) if ours else (None, "auto")
    module: Backbone = load(BACKBONES[name])(size, width=width, stem=stem)
    return module


def pretrained(name: str) -> Family:
    """Return a network that others trained, by its name in one of the catalogue's families."""
    family, _, rest = name.partition("/")
    network: Family = load(PRETRAINED[family])(rest)
    return network


def facts_of(config: Pretrain) -> Facts:
    """Return what the record of a network that others trained says of it."""
    try:
        return Facts.model_validate(config.settings)
    except ValidationError:
        raise InvalidError(
            f"there is no record of how `{config.backbone}` is built",
            hint=f"spice embed --backbone {shlex.quote(config.backbone)}",
        ) from None


def pretrain_config(run: Run) -> Pretrain:
    """Return the config that `pretrain` ran with."""
    stored = run.record(Stage.PRETRAIN).config
    try:
        return Pretrain.model_validate({k: v for k, v in stored.items() if k != "from"})
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise InvalidError(
            f"the manifest of `{run.path}` holds a config of `pretrain` whose `{key}` is wrong",
            hint=run.command(Stage.PRETRAIN, force=True),
        ) from None


def restore(run: Run, device: torch.device) -> Backbone:
    """Return the pretrained backbone in eval mode, on the device, channels last."""
    backbone = build(pretrain_config(run).backbone, pretrain_config(run), image_size(run))
    fill(backbone, run.read(Stage.PRETRAIN), "backbone.")
    return backbone.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def image_size(run: Run) -> int:
    """Return the side of the run's images in pixels."""
    size = run.manifest.data.size
    if size is None:
        raise InvalidError(f"`{run.path}` has no images")
    return size


def fill(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Load the tensors under `prefix`, every one of them and nothing else."""
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    state = module.state_dict()
    faults = [f"`{prefix}{name}` is missing" for name in state if name not in own]
    faults += [f"`{prefix}{name}` is unknown" for name in own if name not in state]
    faults += [
        f"`{prefix}{name}` is {tuple(own[name].shape)}, not {tuple(state[name].shape)}"
        for name in state
        if name in own and own[name].shape != state[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InvalidError(
            f"the weights do not fit the backbone: {'; '.join(faults[:3])}{more}",
            hint="name the backbone they were made with: `--backbone NAME --set width=W`",
        )
    module.load_state_dict(own)
