"""Whether a data set says how many classes it has, before any of its images is decoded."""

from pathlib import Path

from spice_cli import catalog
from spice_cli.config.data import DataSpec
from spice_cli.data.load import kind_of


def undeclared(spec: DataSpec) -> bool:
    """Tell whether the data set of `spec` declares no classes, from names and schemas alone.

    False also where `load` fails, which says why. Raises MissingError where a path does not exist,
    UsageError where it cannot be data, InvalidError where it cannot be read.
    """
    if spec.name in catalog.DATASETS:
        return False
    path = Path(spec.name)
    kind = kind_of(path)
    if kind == "folder":
        from spice_cli.data.folder import unlabelled

        return unlabelled(path)
    if kind == "parquet":
        from spice_cli.data.parquet import classes_in

        return classes_in(spec) is None
    if kind == "arrow":
        from spice_cli.data.arrow import classes_in as saved_classes

        return saved_classes(path) is None
    return True
