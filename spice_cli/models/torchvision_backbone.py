"""Convolutional networks of torchvision, without their classifiers."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import torch
from torch import Tensor

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.models.hub import SECONDS
from spice_cli.models.labels import IMAGENET, UNKNOWN
from spice_cli.models.pretrained import Facts, Pretrained
from spice_cli.models.torchvision_tower import PARTS, ConvolutionTower


class TorchVision:
    """One network of torchvision."""

    def __init__(self, name: str) -> None:
        from torchvision import models

        self.name, _, self.tag = name.partition(".")
        if self.name not in models.list_models(models) or not any(
            re.fullmatch(known, self.name) for known in PARTS
        ):
            kinds = "resnet, resnext, wide_resnet, convnext, efficientnet, mobilenet, densenet"
            raise UsageError(
                f"`torchvision/{name}` is none of {kinds} and regnet",
                hint="timm has most others: --backbone timm/NAME",
            )
        self.models = models
        known = models.get_model_weights(self.name)
        if self.tag and self.tag not in known.__members__:
            listed = ", ".join(f"`{self.name}.{tag}`" for tag in known.__members__)
            raise UsageError(f"torchvision has no weights `{name}`; there are {listed}")
        self.weights = known[self.tag] if self.tag else known.DEFAULT

    def locate(self, say: Callable[[str], None]) -> Path:
        """Find its weights in torch's cache, or fetch them."""
        url = self.weights.url
        file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        if file.is_file():
            return file
        try:
            urlopen(Request(url, method="HEAD"), timeout=SECONDS).close()
            say(f"fetching `{file.name}`")
            file.parent.mkdir(parents=True, exist_ok=True)
            mark = re.search(r"-([0-9a-f]{8,})\.", file.name)
            torch.hub.download_url_to_file(
                url, str(file), mark[1] if mark else None, progress=False
            )
        except (OSError, RuntimeError):
            raise MissingError(
                f"the weights of `torchvision/{self.name}` are not on this machine and cannot be "
                "fetched",
                hint=f"--backbone torchvision/{shlex.quote(self.name)} --weights FILE.pth",
            ) from None
        return file

    def facts(self, file: Path, *, own: bool) -> Facts:
        """Take the preprocessing from torchvision's own transform."""
        transform = self.weights.transforms()
        tag = self.tag or ("" if own else self.weights.name)
        return Facts(
            side=transform.crop_size[0],
            mean=tuple(transform.mean),
            std=tuple(transform.std),
            title=f"`torchvision/{self.name}{'.' if tag else ''}{tag}`",
            trained=IMAGENET if "IMAGENET" in tag else UNKNOWN,
        )

    def build(self, facts: Facts) -> Pretrained:
        """Build it with random weights."""
        return self._wrapped(self._net(), facts)

    def load(self, facts: Facts, tensors: Mapping[str, Tensor]) -> Pretrained:
        """Load weights under torchvision's names; a classifier among them is left out."""
        backbone = self.build(facts)
        net = backbone.body.net
        state = net.state_dict()
        found = {_modern(name): value for name, value in tensors.items()}
        faults = [
            f"`{name}` is {tuple(found[name].shape)}, not {tuple(value.shape)}"
            if name in found
            else f"`{name}` is missing"
            for name, value in state.items()
            if (name in found or not name.endswith("num_batches_tracked"))
            and (name not in found or found[name].shape != value.shape)
        ]
        if faults:
            more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
            raise InvalidError(
                f"the weights do not fit `torchvision/{self.name}`: {'; '.join(faults[:3])}{more}",
                hint="name the network that they are of: --backbone torchvision/NAME",
            )
        net.load_state_dict({name: found.get(name, value) for name, value in state.items()})
        return backbone

    def _net(self) -> Any:
        return self.models.get_model(self.name, weights=None)

    def _wrapped(self, net: Any, facts: Facts) -> Pretrained:
        with torch.no_grad():
            tower = ConvolutionTower(self.name, net).eval()
            features = tower(torch.zeros(1, 3, 64, 64)).shape[1]
        return Pretrained(tower.train(), features, facts)


def _modern(name: str) -> str:
    """Spell a tensor of DenseNet as torchvision does since version 0.3."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)", r"\1\2", name)
