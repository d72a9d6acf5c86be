"""Whether a run is on the images that are asked for."""

from pathlib import Path

from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Data


def check_same(path: Path, ours: Data, data: Data) -> None:
    """Raise InvalidError unless the run at `path`, on `ours`, is on `data`, as that is now."""
    if (ours.name, ours.spec) != (data.name, data.spec):
        other = "other settings" if ours.name == data.name else f"`{ours.name}`"
        raise InvalidError(
            f"`{path}` is a run on {other}, not on `{data.name}` as asked for",
            hint="choose another directory with `--run PATH`",
        )
    if ours.fingerprint != data.fingerprint:
        raise InvalidError(
            f"the images of `{data.name}` changed since the run at `{path}` was started",
            hint="choose another directory with `--run PATH`",
        )
