"""Tiny-ImageNet, from its unpacked archive."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from spice_cli.config.data import DataSpec
from spice_cli.data.class_folders import by_class, dataset, files_in, labels_of, names_in
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.root import root_of
from spice_cli.errors import InvalidError, MissingError

ARCHIVE = "tiny-imagenet-200.zip"
CLASSES, SIDE = 200, 64


def tiny_imagenet(spec: DataSpec, say: Say) -> Dataset:
    """Return Tiny-ImageNet: 100,000 train and 10,000 validation images, 64 x 64, 200 classes.

    Protocol `whole` takes both, as SPICE does (other papers' whole is the 100,000 train images);
    `split` tests on the validation images. Its own test images have no labels and are left out.
    Raises MissingError where it is not below `--root`, InvalidError where it is not complete.
    """
    root = _root(spec)
    classes = names_in(root / "train")
    if len(classes) != CLASSES:
        raise InvalidError(
            f"`{root / 'train'}` has {len(classes)} class folders, not {CLASSES}",
            hint=f"unpack `{ARCHIVE}` again",
        )
    train = by_class(root / "train", classes, spec)
    test = files_in(root / "val/images")
    if not test:
        raise InvalidError(
            f"`{root / 'val/images'}` holds no images", hint=f"unpack `{ARCHIVE}` again"
        )
    return dataset(
        list(chain.from_iterable(train)),
        test,
        classes,
        lambda: [*labels_of(train), *_validation_labels(root, test, classes)],
        root,
        spec.model_copy(update={"size": spec.size or SIDE}),
        say,
    )


def _root(spec: DataSpec) -> Path:
    asked = root_of(spec)
    for root in (asked, asked / "tiny-imagenet-200"):
        if (root / "wnids.txt").is_file() and (root / "train").is_dir():
            return root
    raise MissingError(
        f"`{spec.name}` is not in `{asked}`",
        hint=f"unpack `{ARCHIVE}` there, or name the directory it lies in: `--root PATH`",
    )


def _validation_labels(root: Path, files: Sequence[Path], classes: Sequence[str]) -> list[int]:
    """Return the class of each file, -1 for those that the table beside them does not know."""
    table = root / "val/val_annotations.txt"
    try:
        rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(
            f"`{table}` cannot be read: {error}", hint=f"unpack `{ARCHIVE}` again"
        ) from error
    wnids = {row[0]: row[1] for row in rows if len(row) > 1}
    numbers = {name: number for number, name in enumerate(classes)}
    return [numbers.get(wnids.get(file.name, ""), -1) for file in files]
