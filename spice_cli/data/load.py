"""The door of the data room: what a person typed, to a `Dataset`."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from spice_cli import catalog
from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say, require_test
from spice_cli.data.saved import saved
from spice_cli.data.walk import SUFFIXES
from spice_cli.errors import InvalidError, MissingError, SpiceError, UsageError

SOURCES = {
    "arrow": "spice_cli.data.arrow:arrow",
    "folder": "spice_cli.data.folder:folder",
    "npz": "spice_cli.data.npz:npz",
    "parquet": "spice_cli.data.parquet:parquet",
    "tar": "spice_cli.data.tar:tar",
}
"""How a path is read, by what it turns out to be."""


def load(spec: DataSpec, say: Say) -> Dataset:
    """Return the data set that `spec` names, its train rows set by the protocol.

    `say` gets what a person should know. Raises UsageError, MissingError or InvalidError, whatever
    the files hold.
    """
    kind = None if spec.name in catalog.DATASETS else kind_of(Path(spec.name))
    if spec.test and kind != "parquet":
        raise UsageError(
            f"`{spec.name}` does not consist of Parquet files, to which `--test` is limited",
            hint="leave out `--test`",
        )
    source: Callable[[DataSpec, Say], Dataset] = catalog.load(
        SOURCES[kind] if kind else catalog.DATASETS[spec.name]
    )
    try:
        dataset = source(spec, say)
    except OSError as error:
        raise InvalidError(f"`{error.filename or spec.name}` cannot be read: {error}") from error
    require_test(spec, dataset.n - dataset.train)
    dataset = replace(dataset, test=dataset.n - dataset.train)
    if spec.protocol == "whole":
        dataset = replace(dataset, train=dataset.n)
    if dataset.train < 2:
        raise InvalidError(f"`{spec.name}` has {dataset.train} images to train on, not at least 2")
    return dataset


def resolve(name: str) -> str:
    """Return what `DataSpec.name` should be: a catalogue name as it is, a path made absolute.

    Raises UsageError for a name that is neither and for a path that cannot be data, MissingError
    for a path that does not exist, InvalidError for one that is not UTF-8.
    """
    if name in catalog.DATASETS:
        return name
    path = _expand(name)
    written = (
        "/" in name or name.startswith(("~", ".")) or path.suffix in (".parquet", ".npz", ".tar")
    )
    if name and (written or _exists(path)):
        kind_of(path)
        return _spoken(path.resolve())
    close = get_close_matches(name.lower(), catalog.DATASETS, n=1)
    names = ", ".join(f"`{known}`" for known in catalog.DATASETS)
    raise UsageError(
        f"there is no data set `{name}`: choose from {names} or give a path",
        hint=f"did you mean `{close[0]}`?" if close else "",
    )


def kind_of(path: Path) -> str:
    """Return the key of `SOURCES` for an existing path."""
    if not _exists(path):
        raise MissingError(f"`{path}` does not exist", hint="check it with `ls`")
    if path.is_dir():
        endings = {child.suffix.lower() for child in _children(path)}
        if ".parquet" in endings:
            return "parquet"
        if saved(path):
            return "arrow"
        return "tar" if ".tar" in endings and not endings & SUFFIXES else "folder"
    kind = path.suffix.lower().removeprefix(".")
    if not path.is_file() or kind not in ("parquet", "npz", "tar"):
        raise UsageError(
            f"`{path}` is not data that can be read",
            hint="give a directory of images, a `.parquet`, `.npz` or uncompressed `.tar` file",
        )
    return kind


def _spoken(path: Path) -> str:
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError:
        raise InvalidError(
            f"the name of `{path}` is not UTF-8, and a run could not say what it is about",
            hint="rename it, or copy it to another place",
        ) from None


def _expand(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _children(path: Path) -> list[Path]:
    try:
        return [child for child in path.iterdir() if not child.name.startswith(".")]
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SpiceError:
    return InvalidError(f"`{path}` cannot be read: {error.strerror}")
