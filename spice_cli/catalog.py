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
    "cifar100": "spice_cli.data.torchvision:cifar100",
    "stl10": "spice_cli.data.torchvision:stl10",
    "tiny-imagenet": "spice_cli.data.tiny_imagenet:tiny_imagenet",
    "imagenet10": "spice_cli.data.imagenet:imagenet10",
    "imagenet-dogs": "spice_cli.data.imagenet:imagenet_dogs",
    "imagenet50": "spice_cli.data.imagenet:imagenet50",
    "imagenet100": "spice_cli.data.imagenet:imagenet100",
    "imagenet200": "spice_cli.data.imagenet:imagenet200",
    "imagenet": "spice_cli.data.imagenet:imagenet",
}
BACKBONES = {
    "small": "spice_cli.models.resnet:small",
    "resnet14": "spice_cli.models.resnet:resnet14",
    "resnet18": "spice_cli.models.resnet:resnet18",
    "resnet34": "spice_cli.models.resnet:resnet34",
    "resnet50": "spice_cli.models.resnet:resnet50",
    "wrn28-2": "spice_cli.models.wide_resnet:wrn28_2",
    "wrn28-8": "spice_cli.models.wide_resnet:wrn28_8",
    "wrn37-2": "spice_cli.models.wide_resnet:wrn37_2",
}
PRETRAINED = {
    "photos": "spice_cli.models.photos:Photos",
    "timm": "spice_cli.models.timm_backbone:Timm",
    "torchvision": "spice_cli.models.torchvision_backbone:TorchVision",
    "hf": "spice_cli.models.hf_backbone:HuggingFace",
}
"""Families of networks that others trained, as in `timm/resnet18`; `photos` is a single one."""
METHODS = {
    "byol": "spice_cli.methods.byol:BYOL",
    "cc": "spice_cli.methods.cc:CC",
    "moco": "spice_cli.methods.moco:MoCo",
    "simclr": "spice_cli.methods.simclr:SimCLR",
    "propos": "spice_cli.methods.propos:ProPos",
    "pcl": "spice_cli.methods.pcl:PCL",
    "simsiam": "spice_cli.methods.simsiam:SimSiam",
}
HEADS = {
    "spice": "spice_cli.heads.spice:Spice",
    "kmeans": "spice_cli.heads.kmeans:SphericalKMeans",
    "gmm": "spice_cli.heads.gmm:GaussianMixture",
    "graph": "spice_cli.heads.graph:GraphKMeans",
    "scan": "spice_cli.heads.scan:Scan",
    "temi": "spice_cli.heads.temi:Temi",
    "turtle": "spice_cli.heads.turtle:Turtle",
}
SELECTIONS = {
    "adaptive": "spice_cli.selections.adaptive:Adaptive",
    "scan": "spice_cli.selections.scan:Scan",
    "spice": "spice_cli.selections.spice:Spice",
}
SEMI = {
    "calibrated": "spice_cli.semi.calibrated:Calibrated",
    "fixmatch": "spice_cli.semi.fixmatch:FixMatch",
    "freematch": "spice_cli.semi.freematch:FreeMatch",
    "joint": "spice_cli.semi.joint:Joint",
    "softmatch": "spice_cli.semi.softmatch:SoftMatch",
}
METRICS = {
    "acc": "spice_cli.ops.metrics:accuracy",
    "nmi": "spice_cli.ops.metrics:normalized_mutual_information",
    "ari": "spice_cli.ops.metrics:adjusted_rand_index",
    "ami": "spice_cli.ops.metrics:adjusted_mutual_information",
    "fmi": "spice_cli.ops.metrics:fowlkes_mallows_index",
    "vmeasure": "spice_cli.ops.metrics:v_measure",
    "purity": "spice_cli.ops.metrics:purity",
    "ece": "spice_cli.ops.calibration:expected_calibration_error",
}


PROBES = {
    "knn": "spice_cli.stages.probes:knn",
    "linear": "spice_cli.stages.probes:linear",
    "lars": "spice_cli.stages.probes:lars",
    "kmeans": "spice_cli.stages.probes:kmeans",
    "neighbors": "spice_cli.stages.probes:neighbors",
}


def load(entry: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = entry.partition(":")
    return getattr(import_module(module), attribute)
