"""Whether a run is on the images that are asked for."""

from pathlib import Path

from spice_cli.config.data import DataSpec
from spice_cli.errors import InvalidError
from spice_cli.run.manifest import Data

ANOTHER = "choose another directory with `--run PATH`"


def check_same(path: Path, ours: Data, data: Data) -> None:
    """Raise InvalidError unless the run at `path`, on `ours`, is on `data`, as that is now."""
    if ours.name != data.name:
        raise InvalidError(
            f"`{path}` is a run on `{ours.name}`, not on `{data.name}` as asked for", hint=ANOTHER
        )
    if other := _differing(ours, data):
        raise InvalidError(
            f"`{path}` is a run on other settings of `{data.name}` than asked for: "
            + ", ".join(f"{key} {has}, not {asked}" for key, has, asked in other),
            hint=ANOTHER,
        )
    if ours.fingerprint != data.fingerprint:
        raise InvalidError(
            f"the images of `{data.name}` changed since the run at `{path}` was started",
            hint=ANOTHER,
        )


def _differing(ours: Data, data: Data) -> list[tuple[str, str, str]]:
    """Name the settings that differ, with the run's value and the one asked for."""
    keys = DataSpec.model_fields
    pairs = {key: (getattr(ours.spec, key, None), getattr(data.spec, key, None)) for key in keys}
    sizes = (ours.size, data.size)
    if pairs["size"][0] != pairs["size"][1] and None not in sizes and sizes[0] != sizes[1]:
        pairs["size"] = sizes
    return [(key, _told(has), _told(asked)) for key, (has, asked) in pairs.items() if has != asked]


def _told(value: object) -> str:
    return "unset" if value is None else str(value)
