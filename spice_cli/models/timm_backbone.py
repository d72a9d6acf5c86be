"""Networks of timm: https://github.com/huggingface/pytorch-image-models."""

import shlex
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.models.hub import hub_file
from spice_cli.models.labels import UNKNOWN, trained
from spice_cli.models.pretrained import Facts, Pretrained
from spice_cli.models.timm_tower import TimmTower


class Timm:
    """One network of timm."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.timm = _timm()
        self.arch, _, self.tag = name.partition(".")
        try:
            self.cfg = self.timm.get_pretrained_cfg(name)
        except RuntimeError:
            self.cfg = None
        if self.cfg is None:
            near = get_close_matches(name, self.timm.list_models(), n=3)
            raise UsageError(
                f"timm has no network `{name}`" + (f", but `{'`, `'.join(near)}`" if near else ""),
                hint="a network's name, with or without the tag of its weights: "
                "--backbone timm/resnet18.a1_in1k",
            )

    def locate(self, say: Callable[[str], None]) -> Path:
        """Find its weights on the hub, or in the hub's cache."""
        hint = f"--backbone {shlex.quote(f'timm/{self.name}')} --weights FILE.safetensors"
        if not self.cfg.hf_hub_id:
            raise MissingError(f"there are no weights of `timm/{self.name}` on the hub", hint=hint)
        return hub_file(self.cfg.hf_hub_id, "model.safetensors", hint, say)

    def facts(self, file: Path, *, own: bool) -> Facts:
        """Take the preprocessing from timm; the tag says whether there were labels."""
        unclear = own and not self.tag
        tag = f"{self.cfg.tag or ''}"
        return Facts(
            side=self.cfg.input_size[-1],
            patch=self._patch() if self.cfg.fixed_input_size else 1,
            mean=self.cfg.mean,
            std=self.cfg.std,
            title=f"`timm/{self.name if unclear or self.tag or not tag else f'{self.arch}.{tag}'}`",
            trained=UNKNOWN if unclear else trained(tag),
        )

    def build(self, facts: Facts) -> Pretrained:
        """Build it with random weights."""
        tower = TimmTower(self._create(facts, num_classes=0))
        return Pretrained(tower, tower.features, facts)

    def load(self, facts: Facts, tensors: Mapping[str, Tensor]) -> Pretrained:
        """Load weights strictly, through what timm itself does to old checkpoints."""
        classes = self.cfg.num_classes
        try:
            net = self._filled(facts, tensors, classes)
        except (RuntimeError, KeyError, AttributeError, TypeError) as fault:
            try:
                net = self._filled(facts, self._with_classifier(facts, tensors), classes)
            except (RuntimeError, KeyError, AttributeError, TypeError):
                raise InvalidError(
                    f"the weights do not fit `timm/{self.name}`: {_short(fault)}",
                    hint="name the network that they are of: --backbone timm/NAME",
                ) from None
        state = net.state_dict()
        backbone = self.build(facts)
        inner = backbone.body.net
        inner.load_state_dict({name: state[name] for name in inner.state_dict()})
        return backbone

    def _filled(self, facts: Facts, tensors: Mapping[str, Tensor], classes: int) -> Any:
        overlay = {"state_dict": dict(tensors), "custom_load": False}
        return self._create(
            facts, num_classes=classes, pretrained=True, pretrained_cfg_overlay=overlay
        )

    def _with_classifier(self, facts: Facts, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put a classifier in, which is left out later, where there is none or one of others."""
        names = self.cfg.classifier or ()
        prefixes = tuple(f"{each}." for each in ((names,) if isinstance(names, str) else names))
        state = self._create(facts, num_classes=self.cfg.num_classes).state_dict()
        heads = {name: value for name, value in state.items() if name.startswith(prefixes)}
        others = {name: value for name, value in tensors.items() if not name.startswith(prefixes)}
        return others | heads

    def _create(self, facts: Facts, **settings: Any) -> Any:
        if facts.patch != 1 and facts.patch is not None:
            settings["dynamic_img_size"] = True
        return self.timm.create_model(self.name, **settings)

    def _patch(self) -> int | None:
        """Return the side of a patch of networks that take any number of them."""
        try:
            with torch.device("meta"):
                net = self.timm.create_model(self.name, num_classes=0, dynamic_img_size=True)
            size = net.patch_embed.patch_size
            return int(size[0]) if hasattr(net, "num_prefix_tokens") and size[0] > 1 else None
        except (TypeError, AttributeError, NotImplementedError, RuntimeError):
            return None


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise MissingError(
            "these networks need timm, which is not installed", hint="pip install timm"
        ) from None
    return timm


def _short(fault: Exception) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return " ".join(lines[:3])[:300] or type(fault).__name__
