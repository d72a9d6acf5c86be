"""Everything `spice` can be told to use, by name. To add one: write its file, add its line.

Values are spelled like entry points (`module:attribute`) so that `--help` and shell
completion can list the names without importing torch.
"""

from importlib import import_module
from typing import Any

STAGES = {
    "pretrain": "spice_cli.stages.pretrain:WORK",
    "embed": "spice_cli.stages.embed:WORK",
    "self-label": "spice_cli.stages.self_label:WORK",
    "select-reliable": "spice_cli.stages.select_reliable:WORK",
    "semi": "spice_cli.stages.semi:WORK",
}
DATASETS = {
    "digits": "spice_cli.data.digits:digits",
    "cifar10": "spice_cli.data.torchvision:cifar10",
    "cifar100-20": "spice_cli.data.torchvision:cifar100_20",
    "stl10": "spice_cli.data.torchvision:stl10",
}
BACKBONES = {
    "small": "spice_cli.models.resnet:small",
    "resnet14": "spice_cli.models.resnet:resnet14",
    "resnet18": "spice_cli.models.resnet:resnet18",
    "resnet34": "spice_cli.models.resnet:resnet34",
    "wrn28-2": "spice_cli.models.wide_resnet:wrn28_2",
    "wrn28-8": "spice_cli.models.wide_resnet:wrn28_8",
    "wrn37-2": "spice_cli.models.wide_resnet:wrn37_2",
}
METHODS = {
    "moco": "spice_cli.methods.moco:MoCo",
    "simclr": "spice_cli.methods.simclr:SimCLR",
}
HEADS = {
    "spice": "spice_cli.heads.spice:Spice",
}
SELECTIONS = {
    "spice": "spice_cli.ops.reliable:locally_consistent",
}
SEMI = {
    "fixmatch": "spice_cli.semi.fixmatch:FixMatch",
    "freematch": "spice_cli.semi.freematch:FreeMatch",
    "softmatch": "spice_cli.semi.softmatch:SoftMatch",
}
METRICS = {
    "acc": "spice_cli.ops.metrics:accuracy",
    "nmi": "spice_cli.ops.metrics:normalized_mutual_information",
    "ari": "spice_cli.ops.metrics:adjusted_rand_index",
    "ami": "spice_cli.ops.metrics:adjusted_mutual_information",
    "purity": "spice_cli.ops.metrics:purity",
}


def load(entry: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = entry.partition(":")
    return getattr(import_module(module), attribute)
