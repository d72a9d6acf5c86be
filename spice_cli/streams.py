"""The standard streams, whatever the caller left of them."""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spice_cli.errors import InvalidError

_NAMES = "spice-names"
"""How stdout takes what its encoding has no characters for."""


def open_streams() -> None:
    """Give streams that were closed a place, and let names of files pass that are no text.

    A closed stdin is empty, a closed stderr is heard by nobody, and a closed stdout refuses what is
    written to it, as one on a full disk does. Nothing that is opened later takes their place.
    """
    for name, mode, access in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode))
    codecs.register_error(_NAMES, _written)
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, _NAMES)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def write(text: str) -> None:
    """Write to stdout; errors as in `flush`."""
    with _told():
        sys.stdout.write(text)


def flush() -> None:
    """Write out what stdout still holds, so that a disk that is full is told in time.

    Raises:
        InvalidError: it cannot be written.
        BrokenPipeError: nobody reads it.
    """
    with _told():
        sys.stdout.flush()


def silence() -> None:
    """Let go of a stdout that takes nothing any more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        reason = os.strerror(error.errno or 0).lower()
        raise InvalidError(f"could not write the result to stdout: {reason}") from None


def _written(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write the bytes of a name as they were, and other characters as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00]), error.start + 1
    return codecs.backslashreplace_errors(error)
