"""Files that are written whole or not at all, and their hashes."""

import errno
import hashlib
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spice_cli.errors import FULL, InvalidError

OWN = (
    ".json", ".jsonl", ".safetensors", ".spare", ".previous", ".partial", ".lock", ".rows", ".redo",
)  # fmt: skip
"""What the names of the files end in that a run reads again or adds to."""


@contextmanager
def naming(path: Path, verb: str = "write") -> Iterator[None]:
    """Turn every failure of the file system into an `InvalidError` that names `path`."""
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        hint = "make room, then repeat the command: finished stages are kept" if full else ""
        reason = (error.strerror or type(error).__name__).lower()
        if error.errno == errno.ENOSPC:
            reason += _room(path)
        raise InvalidError(f"could not {verb} `{path}`: {reason}", hint=hint) from error


def partial(path: Path) -> Path:
    """Name the file that becomes `path` once it is whole."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a partial file to write; it takes the place of `path`, durably, when the block ends.

    Where anything fails, `path` stays as it was and the partial file goes.

    Raises:
        InvalidError: the disk is full, or nothing may be written there.
    """
    unfinished = partial(path)
    with naming(path):
        unfinished.unlink(missing_ok=True)
        try:
            yield unfinished
            _flush(unfinished)
            unfinished.replace(path)
            _flush(path.parent)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


def check_own(run: Path) -> None:
    """Refuse a run directory in whose files something outside of it would be read or written.

    Raises:
        InvalidError: a file that a run has is a link, or no regular file.
    """
    try:
        with os.scandir(run) as entries:
            kept = [entry.name for entry in entries if entry.name.lower().endswith(OWN)]
    except OSError:  # who opens a file there says it
        return
    for name in kept:
        check_inside(run / name)


def check_inside(file: Path) -> None:
    """Refuse a file of a run that is a link, or no regular file; a directory may be there.

    Raises:
        InvalidError: it is.
    """
    try:
        mode = file.lstat().st_mode
    except OSError:  # who opens it says it
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = "a link" if stat.S_ISLNK(mode) else "no regular file"
        raise InvalidError(
            f"`{file}` is {what}: what a run reads and writes lies in it",
            hint=f"put it aside: mv {quoted(file)} {quoted(file)}.old",
        )


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, by rename; bytes in it that are no text become escapes."""
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with naming(path, "remove"):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a directory with its files if it is there."""
    with naming(path, "remove"), suppress(FileNotFoundError):
        shutil.rmtree(path)


def quoted(path: Path) -> str:
    """Spell a path so that it can be pasted into a shell."""
    return shlex.quote(str(path))


def sha256(path: Path) -> str:
    """Hash a file.

    Raises:
        InvalidError: it cannot be read.
    """
    with naming(path, "read"), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _room(path: Path) -> str:
    with suppress(OSError):
        folder = path if path.is_dir() else path.parent
        return f" ({shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free)"
    return ""


def _flush(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
