"""ImageNet and the subsets of it that clustering is measured on, from a directory of one's own.

The directory holds `train/n01440764/*.JPEG` and so on for the classes that are asked for, and `val`
of the same kind where validation images are. Which images a protocol takes: `whole` all training
images, and but for ImageNet-10 and -Dogs, whose published numbers are without them, the validation
images; `split` trains on the training images and tests on the validation images. Images are 96
pixels wide unless `--size` says otherwise.
"""

import re
import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from spice_cli.config.data import DataSpec
from spice_cli.data.class_folders import by_class, dataset, labels_of, names_in
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.root import root_of
from spice_cli.data.side import DEFAULT
from spice_cli.data.wnids import (
    IMAGENET_10,
    IMAGENET_50,
    IMAGENET_100,
    IMAGENET_200,
    IMAGENET_DOGS,
)
from spice_cli.errors import InvalidError, MissingError

WNID = re.compile(r"n\d{8}")
CLASSES = 1_000
"""Of ImageNet as a whole, whose classes are all that lie in `train`."""


def imagenet10(spec: DataSpec, say: Say) -> Dataset:
    """Return ImageNet-10: 13,000 training images of 10 classes, from `--root`."""
    return _subset(IMAGENET_10, spec, say, published=13_000)


def imagenet_dogs(spec: DataSpec, say: Say) -> Dataset:
    """Return ImageNet-Dogs: 19,500 training images of 15 breeds, from `--root`."""
    return _subset(IMAGENET_DOGS, spec, say, published=19_500)


def imagenet50(spec: DataSpec, say: Say) -> Dataset:
    """Return SCAN's ImageNet-50: training and validation images of 50 classes, from `--root`."""
    return _subset(IMAGENET_50, spec, say)


def imagenet100(spec: DataSpec, say: Say) -> Dataset:
    """Return SCAN's ImageNet-100: training and validation images of 100 classes, from `--root`.

    Not the ImageNet-100 of contrastive multiview coding.
    """
    return _subset(IMAGENET_100, spec, say)


def imagenet200(spec: DataSpec, say: Say) -> Dataset:
    """Return SCAN's ImageNet-200: training and validation images of 200 classes, from `--root`.

    Not Tiny-ImageNet's 200 classes.
    """
    return _subset(IMAGENET_200, spec, say)


def imagenet(spec: DataSpec, say: Say) -> Dataset:
    """Return all of ImageNet: 1.28 million training and 50,000 validation images, 1,000 classes."""
    root = _root(spec)
    classes = [name for name in names_in(root / "train") if WNID.fullmatch(name)]
    if len(classes) != CLASSES:
        raise InvalidError(
            f"`{root / 'train'}` has {len(classes):,} class folders, and ImageNet has {CLASSES:,}",
            hint=f"other sets of classes are read as any directory is: `spice run "
            f"{shlex.quote(str(root))}`",
        )
    return _subset(classes, spec, say)


def _subset(
    classes: Sequence[str], spec: DataSpec, say: Say, *, published: int | None = None
) -> Dataset:
    root = _root(spec)
    train = by_class(root / "train", classes, spec)
    count = sum(map(len, train))
    if published is not None and count != published:
        say(
            f"`{root}` has {count:,} training images of `{spec.name}`; published numbers are "
            f"of {published:,}"
        )
    alone = published is not None and spec.protocol == "whole"
    test = [] if alone else by_class(_validation(root, spec), classes, spec)
    return dataset(
        list(chain.from_iterable(train)),
        list(chain.from_iterable(test)),
        classes,
        lambda: [*labels_of(train), *labels_of(test)],
        root,
        spec.model_copy(update={"size": spec.size or DEFAULT}),
        say,
    )


def _root(spec: DataSpec) -> Path:
    """Return the directory that holds `train`, at the place asked for or a usual one below it."""
    asked = root_of(spec)
    for root in (asked, asked / "imagenet", asked / "ILSVRC/Data/CLS-LOC"):
        if any(WNID.fullmatch(name) for name in names_in(root / "train")):
            return root
    raise MissingError(
        f"`{spec.name}` is read from class folders as `{asked / 'train/n01440764'}`, and there are "
        "none",
        hint="name the directory that holds ImageNet's `train`: `--root PATH`",
    )


def _validation(root: Path, spec: DataSpec) -> Path:
    split = root / "val"
    if not any(WNID.fullmatch(name) for name in names_in(split)):
        raise MissingError(
            f"protocol `{spec.protocol}` of `{spec.name}` takes validation images too, and "
            f"`{split}` holds no class folders",
            hint=f"sort the validation images into folders as `{split / 'n01440764'}`",
        )
    return split
