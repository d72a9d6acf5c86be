"""What can go wrong while a command runs, or before: one function a kind of fault.

Each starts the trial's command, lets its fault happen at the trial's moment, and returns how the
commands ended that it ran. `Trial.after` undoes what must be undone before the command is repeated.
"""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from benchmarks import forked
from benchmarks.forked import Child, End

NOBODY = 65534
ROOM = 2**30
"""Bytes of the trials' own disk while it is not full."""
WRITES = os.O_WRONLY | os.O_RDWR


@dataclass
class Trial:
    """One run that something happens to."""

    folder: Path
    """Holds the run, its images and what `SPICE_DATA` names."""
    draw: random.Random
    seconds: float
    """What the command takes where nothing happens."""
    calls: tuple[int, int]
    """How often it opens a file to read it, and how often it opens one to write it, or makes,
    renames or flushes one, where nothing happens."""
    size: int
    """Bytes of the largest file of a finished run."""
    written: int
    """Bytes that the command writes where nothing happens, more or less."""
    disk: Path | None = None
    """Where the disk is mounted that is the trials' own."""
    run: Path = Path()
    notes: list[str] = field(default_factory=list)
    """What was drawn, to be read by people."""
    after: list[Callable[[], object]] = field(default_factory=list)
    hint: bool = False
    """Whether the fault lasts, so that the hint of its error must mend it."""

    @property
    def command(self) -> list[str]:
        """The whole pipeline, a checkpoint after every epoch."""
        recipe = str(self.folder / "recipe.toml")
        images = str(self.folder / "images")
        options = ["--recipe", recipe, "--checkpoint-seconds", "0", "-r", str(self.run)]
        return ["run", images, *options]

    def moment(self) -> float:
        """Draw a moment of the command's time."""
        at = self.draw.uniform(0, self.seconds)
        self.notes.append(f"after {at:.3f} s")
        return at

    def call(self, writing: bool) -> int:
        """Draw one of the command's calls."""
        at = self.draw.randrange(max(self.calls[writing], 1))
        self.notes.append(f"at call {at} of {self.calls[writing]}")
        return at


def signalled(number: signal.Signals) -> Callable[[Trial], list[End]]:
    """A signal at any moment."""

    def kind(trial: Trial) -> list[End]:
        child = Child(trial.command)
        if end := child.wait(trial.moment()):
            return [end]
        child.send(number)
        return [child.end()]

    return kind


def full(trial: Trial) -> list[End]:
    """From some call on nothing can be made, renamed or flushed: no space left on device."""
    return [_refused(trial, errno.ENOSPC, writing=True, once=False)]


def small(trial: Trial) -> list[End]:
    """No file may grow past some size, so that writes stop half-way."""
    limit = int(trial.size ** trial.draw.random())
    trial.notes.append(f"{limit} bytes")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return [forked.run(trial.command, limited)]


def filled(trial: Trial) -> list[End]:
    """The disk becomes full at any byte. Only where the trial lies on a disk of its own."""
    assert trial.disk
    used = shutil.disk_usage(trial.disk).used
    room = used + int(trial.draw.random() * trial.written)
    trial.notes.append(f"{room - used} bytes left")
    resize(trial.disk, room)
    trial.after.append(lambda: resize(trial.disk, ROOM))
    return [forked.run(trial.command)]


def unreadable(trial: Trial) -> list[End]:
    """One file cannot be opened for reading."""
    number = trial.draw.choice([errno.EACCES, errno.EIO])
    return [_refused(trial, number, writing=False, once=trial.draw.random() < 0.5)]


def read_only(trial: Trial) -> list[End]:
    """Everything may only be read, by its modes, or because the disk is such."""
    if trial.draw.random() < 0.5:
        trial.notes.append("disk")
        return [_refused(trial, errno.EROFS, writing=True, once=False, at=0)]
    trial.notes.append("modes")
    if not trial.run.exists():
        trial.run.mkdir()
        trial.after.append(trial.run.rmdir)
    folders = [trial.run, trial.folder / "home"]
    for each in folders:
        each.chmod(0o555)
        trial.after.append(lambda each=each: each.chmod(0o755))

    def become() -> None:
        if os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)

    return [forked.run(trial.command, become)]


def second(trial: Trial) -> list[End]:
    """The same command once more, at any moment."""
    first = Child(trial.command)
    if end := first.wait(trial.moment()):
        return [end, forked.run(trial.command)]
    other = Child(trial.command)
    return [first.end(), other.end()]


def clock(trial: Trial) -> list[End]:
    """The clock jumps with every look at it; then files are of the past or future."""
    moment, ours = trial.moment(), random.Random(trial.draw.random())
    killed = ours.random() < 0.5

    def jumping() -> None:
        from spice_cli.run import store
        from spice_cli.stages import answers

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Clock":
                return super().now(tz) + timedelta(seconds=ours.uniform(-1e9, 1e9))

        for module in (store, answers):
            vars(module)["datetime"] = Clock
        now = time.time
        time.time = lambda: now() + ours.uniform(-1e9, 1e9)

    child = Child(trial.command, jumping)
    end = child.wait(moment) if killed else child.end()
    if end is None:
        child.send(signal.SIGKILL)
        end = child.end()
    for file in sorted(trial.folder.rglob("*")):
        if file.is_file() and ours.random() < 0.5:
            at = time.time() + ours.uniform(-1e9, 1e9)
            os.utime(file, (at, at))
    return [end]


def moved(trial: Trial) -> list[End]:
    """The run's directory gets another name while the command runs, or after it was stopped."""
    there = trial.folder / "another place" / "its new name"
    there.parent.mkdir()
    child = Child(trial.command)
    end = child.wait(trial.moment())
    if stopped := trial.draw.random() < 0.5:
        trial.notes.append("stopped")
        if end is None:
            child.send(signal.SIGTERM)
            end = child.end()
    if trial.run.exists():
        trial.run.rename(there)
    end = end or child.end()
    if there.exists() and not stopped and trial.run.exists():
        shutil.rmtree(trial.run)  # begun anew under the old name, before there was anything
    if there.exists():
        trial.run = there
    return [end]


def damaged(how: str) -> Callable[[Trial], list[End]]:
    """A file of a run, finished or killed half-way, is no longer what was written."""

    def kind(trial: Trial) -> list[End]:
        ends = []
        if trial.draw.random() < 0.5:
            ends = signalled(signal.SIGKILL)(trial)
        places = [trial.run] * 4 + [trial.folder / "home"]
        files = sorted(f for f in trial.draw.choice(places).rglob("*") if f.is_file())
        if not files:
            return ends or [forked.run(trial.command)]
        file = trial.draw.choice(files)
        trial.notes.append(str(file.relative_to(trial.folder)))
        trial.hint = True
        _damage(file, how, trial)
        if trial.draw.random() < 0.5:
            return [*ends, forked.run(trial.command)]
        return [*ends, forked.run(trial.draw.choice(readers(trial.run)))]

    return kind


def readers(run: Path) -> list[list[str]]:
    """Spell commands that only read."""
    more: list[list[str]] = [[], ["--stage", "self-label"], ["--stage", "embed"]]
    return [["evaluate", *each, "-r", str(run)] for each in more]


def _damage(file: Path, how: str, trial: Trial) -> None:
    if how == "removed":
        file.unlink()
        return
    content = bytearray(file.read_bytes())
    at = trial.draw.randrange(len(content) or 1)
    trial.notes.append(f"byte {at} of {len(content)}")
    if how == "truncated":
        content = content[:at]
    elif content:
        content[at] ^= 1 << trial.draw.randrange(8)
    file.write_bytes(content)


def _refused(trial: Trial, number: int, *, writing: bool, once: bool, at: int | None = None) -> End:
    """Run the command, refusing from some call on, or only then, to write or read files."""
    at = trial.call(writing) if at is None else at
    trial.notes.append(errno.errorcode[number])
    return forked.run(trial.command, lambda: refuse(trial, number, at, writing, once))


def refuse(trial: Trial, number: int, at: int, writing: bool, once: bool) -> None:
    """Make this process's calls below the trial's folder fail from call `at` on."""
    made = 0

    def asked(path: str, writes: bool) -> None:
        nonlocal made
        if writes == writing:
            made += 1
            if made == at + 1 or (made > at and not once):
                raise OSError(number, os.strerror(number), path)

    listen(trial.folder, asked)


def listen(folder: Path, asked: Callable[[str, bool], None]) -> None:
    """Call `asked(path, writes)` before anything below a folder is opened, made or renamed."""
    flush = os.fsync

    def below(path: object, writes: bool) -> None:
        if isinstance(path, str | bytes) and os.fsdecode(path).startswith(str(folder)):
            asked(os.fsdecode(path), writes)

    def heard(event: str, values: tuple[object, ...]) -> None:
        if event == "open":
            flags = values[2]
            below(values[0], isinstance(flags, int) and bool(flags & WRITES))
        elif event in ("os.rename", "os.mkdir"):
            below(values[event == "os.rename"], True)

    def fsync(descriptor: int) -> None:
        asked("a flush", True)
        flush(descriptor)

    os.fsync = fsync
    sys.addaudithook(heard)


def resize(disk: Path, size: int) -> None:
    """Give a disk in memory another size in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


KINDS: dict[str, Callable[[Trial], list[End]]] = {
    "SIGKILL": signalled(signal.SIGKILL),
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGINT": signalled(signal.SIGINT),
    "no space": full,
    "file too large": small,
    "disk full": filled,
    "unreadable": unreadable,
    "truncated": damaged("truncated"),
    "bit flipped": damaged("flipped"),
    "removed": damaged("removed"),
    "second writer": second,
    "clock": clock,
    "moved": moved,
    "read-only": read_only,
}
