"""Commands of `spice` in children of this process, which has already imported what they need."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fcntl import F_SETPIPE_SZ, fcntl
from importlib import import_module
from pathlib import Path

LIMIT = 300.0
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class End:
    """How a command ended."""

    command: tuple[str, ...]
    code: int
    """Its exit code, or less the signal that ended it."""
    out: str
    err: str
    seconds: float


class Child:
    """A command that runs, in a process group of its own."""

    def __init__(
        self, command: Sequence[str], prepare: Callable[[], object] = lambda: None
    ) -> None:
        self.command = tuple(map(str, command))
        self.pipes = [os.pipe(), os.pipe()]
        for _, into in self.pipes:
            fcntl(into, F_SETPIPE_SZ, 1 << 20)
        self.started = time.monotonic()
        held = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._run(prepare, held))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        for _, into in self.pipes:
            os.close(into)

    def wait(self, seconds: float = LIMIT) -> End | None:
        """Return how it ended; none where it has not within so many seconds."""
        waited, last = 0.0, time.monotonic()
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if waited >= seconds:
                return None
            time.sleep(0.0005)
            now = time.monotonic()
            waited, last = waited + min(now - last, 0.1), now  # we may have been stopped ourselves
        spent = time.monotonic() - self.started
        code = os.waitstatus_to_exitcode(status)
        texts = []
        for out, _ in self.pipes:
            with os.fdopen(out, errors="replace") as stream:
                texts.append(stream.read())
        return End(self.command, code, texts[0], texts[1], spent)

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self) -> End:
        """Wait; what hangs is killed and counts as ended by SIGKILL."""
        if end := self.wait():
            return end
        self.send(signal.SIGKILL)
        end = self.wait()
        assert end
        return End(end.command, end.code, end.out, f"{end.err}\nTraceback: it hung", end.seconds)

    def _run(self, prepare: Callable[[], object], held: set[signal.Signals]) -> int:
        code = 1
        try:
            for number, (out, into) in enumerate(self.pipes, 1):
                os.close(out)
                os.dup2(into, number)
                os.close(into)
            sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["spice", *self.command]
            from spice_cli.__main__ import main

            for each in held:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
            prepare()
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            with suppress(BaseException):
                traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
        return code


def run(command: Sequence[str], prepare: Callable[[], object] = lambda: None) -> End:
    """Run a command to its end."""
    return Child(command, prepare).end()


def warm(command: Sequence[str], folder: Path) -> End:
    """Run a command, then import here what it imported, so that later ones start at once."""
    names = folder / "modules"

    def noted() -> None:
        from spice_cli import cli

        before = cli.flush

        def after() -> None:
            before()
            names.write_text("\n".join(sorted(sys.modules)))

        cli.flush = after

    end = run(command, noted)
    for name in names.read_text().split() if names.exists() else ():
        if name.split(".")[0] not in ("benchmarks", "__main__"):
            with suppress(Exception):
                import_module(name)
    return end
