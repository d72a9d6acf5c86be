"""What is done with one image, where that can fail: whose fault it was, its own or the system's."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from spice_cli.errors import InvalidError

T = TypeVar("T")
ITS_OWN = (None, errno.EINVAL, errno.EOVERFLOW, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
"""What a damaged or absent file leads to; other numbers say that the system cannot read it now,
which is no reason to go on without it for ever."""


def attempt(
    function: Callable[[bytes | Path], T], source: bytes | Path | None, skip: bool
) -> T | None:
    """Return what comes of an image; None where it cannot be read.

    Raises InvalidError where the system does not give its file, unless that is to be passed over.
    """
    try:
        return None if source is None else function(source)
    except Exception as error:  # Pillow's decoders raise nearly anything on a corrupt file
        if not skip and isinstance(source, Path) and (reason := _refusal(error)):
            raise InvalidError(
                f"`{source}` cannot be read: {reason}",
                hint="repeat the command when it can, or leave it out with `--skip-bad`",
            ) from error
        return None


def _refusal(error: Exception) -> str:
    """Say why the system did not give a file; nothing where its own contents are the reason."""
    if not isinstance(error, OSError) or error.errno in ITS_OWN:
        return ""
    return (error.strerror or "the system refuses").lower()
