"""Putting a file where else it is wanted, without touching the original."""

import errno
import os
import shutil
from pathlib import Path
from typing import Literal

from spice_cli.errors import InvalidError
from spice_cli.run.files import naming

How = Literal["symlink", "hardlink", "copy"]


def place(file: Path, target: Path, how: How) -> None:
    """Link or copy a file to a place where nothing is yet.

    Raises:
        InvalidError: something is there, or such a link cannot be made.
    """
    if target.exists() or target.is_symlink():
        raise InvalidError(f"`{target}` is there already")
    try:
        if how == "symlink":
            target.symlink_to(file.resolve())
        elif how == "hardlink":
            os.link(file.resolve(), target)
    except OSError as error:
        across = error.errno == errno.EXDEV
        reason = "it is on another file system" if across else str(error.strerror).lower()
        raise InvalidError(
            f"no {how} to `{file}` can be made at `{target}`: {reason}", hint="--how copy"
        ) from error
    if how == "copy":
        with naming(target):
            shutil.copy2(file, target)
