"""Which Parquet files are the train split and which the test split, by their names."""

import re
from pathlib import Path

from spice_cli.data.dataset import Say
from spice_cli.data.links import own_files
from spice_cli.errors import MissingError, UsageError

SERIES = re.compile(r"(?P<name>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?")
TRAIN, TEST = ("train",), ("test", "validation", "val")


def find_shards(path: Path, test: str | None, say: Say) -> tuple[list[Path], list[Path]]:
    """Return the train files and the test files, sorted, of a Parquet file or a directory of them.

    A file is all train. In a directory `train-*` is train, or every file where none starts like
    a split; `test-*`, `validation-*` and `val-*` are test where they are one file or one series
    (`NAME-00000-of-00002`), else none is and `say` tells which there are. `test` names a file,
    relative to the directory; a file of a series stands for the whole series.
    Raises MissingError where a file is not there, UsageError where it is all there is.
    """
    directory = path if path.is_dir() else path.parent
    files = parquet_files(directory)
    chosen = _chosen(directory, test, files) if test else None
    train = files if path.is_dir() else [path]
    found: dict[str, list[Path]] = {}
    if path.is_dir():
        for file in (file for file in files if _split(file) in TEST):
            found.setdefault(_series(file), []).append(file)
        train = _train(directory, [file for file in files if file not in (chosen or [])], say)
    elif chosen and path in chosen:
        raise UsageError(f"`{path.name}` cannot be both the train and the test file")
    if chosen is None and len(found) > 1:
        names = ", ".join(f"`{group[0].name}`" for group in found.values())
        say(f"test images are left out: choose one of {names} with `--test FILE`")
    if chosen is None:
        chosen = next(iter(found.values())) if len(found) == 1 else []
    for group in (train, chosen):
        _complete(group, say)
    return train, chosen


def parquet_files(directory: Path) -> list[Path]:
    """Return the Parquet files that lie in a directory, sorted by name."""
    return own_files(directory, ".parquet")


def _train(directory: Path, files: list[Path], say: Say) -> list[Path]:
    train = [file for file in files if _split(file) in TRAIN]
    other = [file for file in files if _split(file) is None]
    if train and other:
        say(f"left out, for others are called train: {', '.join(f'`{f.name}`' for f in other)}")
    if not train and not other:
        raise MissingError(
            f"`{directory}` holds no Parquet file to train on",
            hint="give the path of one of its files",
        )
    return train or other


def _chosen(directory: Path, test: str, files: list[Path]) -> list[Path]:
    file = directory / test
    if not file.is_file():
        names = ", ".join(f"`{file.name}`" for file in files)
        raise MissingError(f"test file `{file}` is not there", hint=f"choose from {names}")
    series = [other for other in files if _series(other) == _series(file)]
    return series if file in series else [file]


def _complete(files: list[Path], say: Say) -> None:
    series: dict[tuple[str, int], int] = {}
    for file in files:
        if match := SERIES.fullmatch(file.stem):
            key = match["name"], int(match["count"])
            series[key] = series.get(key, 0) + 1
    for (name, count), there in series.items():
        if there < count and len(files) > 1:
            say(f"only {there} of the {count} files of the series `{name}` are there")


def _series(file: Path) -> str:
    match = SERIES.fullmatch(file.stem)
    return f"{match['name']}-of-{match['count']}" if match else file.name


def _split(file: Path) -> str | None:
    match = re.match(r"(train|test|validation|val)(?![a-z])", file.stem.lower())
    return match[1] if match else None
