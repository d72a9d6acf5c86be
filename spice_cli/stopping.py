"""The one error boundary: how the program ends other than well."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer, current_thread, main_thread
from types import FrameType

import typer

from spice_cli.console import fail
from spice_cli.errors import InvalidError, MissingError, SpiceError

GOES_ON = "the same command, without `--force`, goes on where it can"
SOON = 0.02
"""Seconds until a signal that was not heeded is sent again."""
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OUTSIDE = FULL | {
    errno.EACCES, errno.EBUSY, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT, errno.ENOTDIR, errno.EPERM,
    errno.EROFS, errno.ESTALE, errno.ETXTBSY,
}  # fmt: skip
"""What the file system refuses through no fault of the program."""


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` at the first SIGINT or SIGTERM; the next ends the process on the spot.

    Where Python ignores what is raised, as while it takes an object down, it is raised once more.
    """
    if current_thread() is not main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for each in WORDS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    def listen() -> None:
        for each in WORDS:
            signal.signal(each, stop)

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        if not isinstance(what.exc_value, Stopped):
            told(what)
            return
        listen()
        again = Timer(SOON, os.kill, (os.getpid(), what.exc_value.number))
        again.daemon = True
        again.start()

    before, told = {each: signal.getsignal(each) for each in WORDS}, sys.unraisablehook
    try:
        listen()
        sys.unraisablehook = ignored
        yield
    finally:
        sys.unraisablehook = told
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a person or the machine caused into a message and an exit code.

    Codes are those of `errors`, and 128 and the signal's number: 130 interrupted, 143 terminated.
    """
    try:
        yield
    except SpiceError as error:
        raise _ended(error) from None
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        fail(WORDS[number], GOES_ON)
        raise typer.Exit(128 + number) from None
    except MemoryError:
        raise _ended(MissingError("there is not enough memory")) from None
    except OSError as error:
        if error.errno not in OUTSIDE:
            raise
        path = error.filename2 or error.filename
        where = f"could not use `{os.fsdecode(path)}`" if path else "could not read or write"
        hint = "make room, then repeat the command" if error.errno in FULL else ""
        reason = os.strerror(error.errno or 0).lower()
        raise _ended(InvalidError(f"{where}: {reason}", hint=hint)) from None


def flush() -> None:
    """Write out what stdout still holds, so that a disk that is full is told in time.

    Raises:
        InvalidError: it cannot be written.
        BrokenPipeError: nobody reads it.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        reason = os.strerror(error.errno or 0).lower()
        raise InvalidError(f"could not write the result to stdout: {reason}") from None


def silence() -> None:
    """Let go of a stdout that takes nothing any more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ended(error: SpiceError) -> typer.Exit:
    fail(str(error), error.hint)
    return typer.Exit(error.exit_code)
