"""Which files the images of a data set come from, told without reading one. No torch here."""

import os
from importlib.util import find_spec
from pathlib import Path

from spice_cli import catalog
from spice_cli.config.data import DataSpec
from spice_cli.data.root import root_of


def origin_files(spec: DataSpec) -> list[Path] | None:
    """List every file and directory that a data set may be read from, in sorted order.

    None where that cannot be told, as where links lead to other directories. Raises OSError for a
    directory that cannot be read.
    """
    if spec.name == "digits":
        package = find_spec("sklearn")
        folder = Path(package.origin).parent if package and package.origin else Path()
        return [folder / "datasets/data/digits.csv.gz"]
    path = root_of(spec) if spec.name in catalog.DATASETS else Path(spec.name)
    if not path.is_dir():
        return [path]
    found = [path]
    for place, below, names in os.walk(path, onerror=_raise):
        if any(Path(place, name).is_symlink() for name in below):
            return None
        found += [Path(place, name) for name in (*below, *names)]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
