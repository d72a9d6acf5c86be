from spice_cli.commands.options import JsonOption
from spice_cli.console import emit

ABOUT = {
    "digits": "1,797 handwritten digits, 8 x 8 pixels, 10 classes; nothing to download",
    "cifar10": "CIFAR-10: 60,000 images, 32 x 32 pixels, 10 classes",
    "cifar100-20": "CIFAR-100 by its 20 superclasses: 60,000 images, 32 x 32 pixels",
    "cifar100": "CIFAR-100: 60,000 images, 32 x 32 pixels, 100 classes",
    "stl10": "STL-10: 13,000 images and 100,000 unlabelled, 96 x 96 pixels, 10 classes",
    "tiny-imagenet": "Tiny-ImageNet: 110,000 images, 64 x 64 pixels, 200 classes",
    "imagenet10": "ImageNet-10: 13,000 images, 10 classes; needs `--root`",
    "imagenet-dogs": "ImageNet-Dogs: 19,500 images, 15 breeds; needs `--root`",
    "imagenet50": "ImageNet-50 of SCAN: 50 classes; needs `--root`",
    "imagenet100": "ImageNet-100 of SCAN: 100 classes; needs `--root`",
    "imagenet200": "ImageNet-200 of SCAN: 200 classes; needs `--root`",
    "imagenet": "ImageNet: 1.33 million images, 1,000 classes; needs `--root`",
}
"""A phrase on each data set of the catalogue."""


def datasets(json: JsonOption = False) -> None:
    """List the data sets that go by a name."""
    emit(ABOUT, as_json=json)
