"""The one error boundary: how the program ends other than well."""

import os
import signal
import sys
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType

import typer

from spice_cli.console import fail
from spice_cli.errors import SpiceError, caused

GOES_ON = "the same command, without `--force`, goes on where it can"
SOON = 0.02
"""Seconds until a signal that was not heeded is sent again."""
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


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
        again = Timer(SOON, _send, (what.exc_value.number,))
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


def _send(number: signal.Signals) -> None:
    """Have this process hear a signal; on Windows `os.kill` would end it on the spot."""
    if os.name == "nt":
        interrupt_main(number)
    else:
        os.kill(os.getpid(), number)


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
    except (MemoryError, OSError) as error:
        if (told := caused(error)) is None:
            raise
        raise _ended(told) from None


def _ended(error: SpiceError) -> typer.Exit:
    fail(str(error), error.hint)
    return typer.Exit(error.exit_code)
