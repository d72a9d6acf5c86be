"""Where data sets that go by a name lie on this machine."""

import os
from pathlib import Path

from spice_cli.config.data import DataSpec


def home() -> Path:
    """Return `SPICE_DATA`, else `~/.cache/spice`, made absolute."""
    return Path(os.environ.get("SPICE_DATA") or "~/.cache/spice").expanduser().absolute()


def root_of(spec: DataSpec) -> Path:
    """Return the directory that was asked for, else `home`."""
    return Path(spec.root).expanduser().absolute() if spec.root else home()
