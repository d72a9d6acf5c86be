"""Image towers of the Hugging Face hub: CLIP, SigLIP, DINO and plain ViT, by transformers."""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.models.hf_files import CONFIG, PROCESSOR, read_settings, side_of
from spice_cli.models.hf_tower import CLASSES, HubTower
from spice_cli.models.hub import hub_file
from spice_cli.models.labels import ALONE, CAPTIONS, IMAGENET, trained
from spice_cli.models.pretrained import Facts, Pretrained


class HuggingFace:
    """One image tower of the hub."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transformers = _transformers()

    def locate(self, say: Callable[[str], None]) -> Path:
        """Find its weights on the hub, or in the hub's cache, and what describes it beside them."""
        hint = (
            f"--backbone hf/{shlex.quote(self.name)} --weights FOLDER/model.safetensors, with "
            f"`{CONFIG}` and `{PROCESSOR}` beside it"
        )
        for name in (CONFIG, PROCESSOR):
            hub_file(self.name, name, hint, say)
        return hub_file(self.name, "model.safetensors", hint, say)

    def facts(self, file: Path, *, own: bool) -> Facts:
        """Take the architecture and the preprocessing from the files beside the weights."""
        described = read_settings(file.with_name(CONFIG))
        processor = read_settings(file.with_name(PROCESSOR))
        kind = str(described.get("model_type"))
        if kind not in CLASSES:
            raise UsageError(
                f"`hf/{self.name}` is a `{kind}`, not one of {', '.join(CLASSES)}",
                hint="timm has most image networks of the hub: --backbone timm/NAME",
            )
        config = self._class(kind).config_class.from_dict(described.get("vision_config", described))
        if kind == "clip" and "projection_dim" in described:
            config.projection_dim = described["projection_dim"]
        free = kind.startswith("dino")
        try:
            return Facts(
                side=side_of(processor, config.image_size),
                patch=config.patch_size if free else None,
                mean=tuple(processor["image_mean"]),
                std=tuple(processor["image_std"]),
                title=f"`hf/{self.name}`",
                trained=_trained(kind, self.name),
                architecture={"kind": kind, **json.loads(config.to_json_string())},
            )
        except (KeyError, TypeError, ValueError):
            raise InvalidError(
                f"`{file.with_name(PROCESSOR)}` does not say how images are prepared",
                hint="it needs `image_mean`, `image_std` and `size`",
            ) from None

    def build(self, facts: Facts) -> Pretrained:
        """Build it with random weights."""
        architecture = dict(facts.architecture)
        kind = str(architecture.pop("kind"))
        made = self._class(kind)
        config = made.config_class.from_dict(architecture)
        return self._wrapped(made(config, **_settings(kind)), kind, facts)

    def load(self, facts: Facts, tensors: Mapping[str, Tensor]) -> Pretrained:
        """Load the tower's weights; those of a text tower beside it are left out."""
        architecture = dict(facts.architecture)
        kind = str(architecture.pop("kind"))
        made = self._class(kind)
        config = made.config_class.from_dict(architecture)
        own = {name: value for name, value in tensors.items() if not name.startswith("text_")}
        try:
            net, said = made.from_pretrained(
                None,
                config=config,
                state_dict=own,
                output_loading_info=True,
                dtype=torch.float32,
                **_settings(kind),
            )
            missing = [f"`{name}` is missing" for name in sorted(said["missing_keys"])]
        except (RuntimeError, ValueError, KeyError):
            missing = ["they are of other shapes"]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise InvalidError(
                f"the weights do not fit `hf/{self.name}`: {'; '.join(missing[:3])}{more}",
                hint=f"put the `{CONFIG}` beside them that they were saved with",
            )
        return self._wrapped(net, kind, facts)

    def _wrapped(self, net: Any, kind: str, facts: Facts) -> Pretrained:
        width = net.config.projection_dim if kind.startswith("clip") else net.config.hidden_size
        return Pretrained(HubTower(net, kind), int(width), facts)

    def _class(self, kind: str) -> Any:
        return getattr(self.transformers, CLASSES[kind])


def _trained(kind: str, name: str) -> str:
    if kind.startswith("dino"):
        return ALONE
    if kind.startswith(("clip", "siglip")):
        return CAPTIONS
    return IMAGENET if name.startswith("google/vit-") else trained(name)


def _settings(kind: str) -> dict[str, bool]:
    return {"add_pooling_layer": False} if kind == "vit" else {}


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise MissingError(
            "networks of the Hugging Face hub need transformers, which is not installed",
            hint="pip install 'spice-cli[hf]'",
        ) from None
    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    return transformers
