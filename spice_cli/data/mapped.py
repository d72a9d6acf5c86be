"""One array in a directory of files, its shards, which are mapped into memory side by side.

Shards are cut by bytes: a row may begin in one and end in the next, and whoever has the array does
not notice. Where the system cannot map files side by side there is one shard.
"""

import ctypes
import errno
import mmap
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SHARD = 2**30
"""Bytes of every file but the last."""
MAP_FIXED = 0x10
UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems answer that cannot reserve room."""
NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x40 if sys.platform == "darwin" else 0x4000)


class Mapped:
    """An array of uint8 whose memory is the shards in `folder`, one after another.

    It stays mapped for as long as an array of it, or made from it, is there.
    """

    def __init__(self, folder: Path, size: int, *, write: bool) -> None:
        """Map what lies there.

        Raises:
            ValueError: `folder` does not hold `size` bytes in shards, whatever else lies there.
            OSError: it cannot be read, or not be written where `write` asks for it.
        """
        self.folder, self.size, self.write = folder, size, write
        lengths = _lengths(size)
        files = [folder / _name(number) for number in range(len(lengths))]
        if sorted(file for file in folder.iterdir() if file.name.isdigit()) != files:
            raise ValueError(f"{folder} does not hold {len(files)} shards")
        self.files = files
        self._memory = _side_by_side(files, lengths, write=write)

    def array(self) -> np.ndarray:
        """Return all bytes (size,) uint8; read-only unless opened to be written."""
        return np.asarray(_Bytes(self._memory, self.size, self.write))

    def flush(self, start: int = 0, end: int | None = None) -> None:
        """Wait until what was written from byte `start` to `end` is on the disk."""
        shard, last = _shard(self.size), self.size if end is None else end
        for number, file in enumerate(self.files):
            if number * shard < last and start < (number + 1) * shard:
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())


def create(folder: Path, size: int) -> Mapped:
    """Make a directory of shards with room for `size` bytes, in place of what is there.

    The room on the disk is taken now: a page that found none later would end the process (SIGBUS).
    Where the system or its disk cannot do that (macOS, some network file systems) it is not.

    Raises:
        OSError: there is no such room, or it cannot be written or mapped. Then nothing is left.
    """
    remove(folder)
    folder.mkdir(parents=True)
    try:
        for number, length in enumerate(_lengths(size)):
            with (folder / _name(number)).open("xb") as file:
                _reserve(file.fileno(), length)
        return Mapped(folder, size, write=True)
    except BaseException:
        with suppress(OSError):
            remove(folder)
        raise


def _reserve(number: int, length: int) -> None:
    """Give a file its length, once there is room for it, where the system can reserve any."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(number, 0, length)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
    os.ftruncate(number, length)


def remove(folder: Path) -> None:
    """Remove a directory of shards if it is there; a link to one goes, and not what it leads to."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


class _Bytes:
    """Memory as numpy takes it; the array keeps this, and so the memory, alive."""

    def __init__(self, memory: mmap.mmap, size: int, write: bool) -> None:
        self.memory = memory
        start = np.frombuffer(memory, np.uint8).ctypes.data
        self.__array_interface__ = {
            "data": (start, not write),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }


def _name(number: int) -> str:
    return f"{number:05}"


def _lengths(size: int) -> list[int]:
    if size < 1:
        raise ValueError("there is nothing to map")
    shard = _shard(size)
    return [min(shard, size - start) for start in range(0, size, shard)]


def _shard(size: int) -> int:
    return SHARD if _libc() is not None else size


def _side_by_side(files: list[Path], lengths: list[int], *, write: bool) -> mmap.mmap:
    if len(files) == 1:
        with _opened(files[0], lengths[0], write) as number:
            how = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
            return mmap.mmap(number, lengths[0], access=how)
    access = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
    memory = mmap.mmap(-1, sum(lengths), flags=private, prot=mmap.PROT_READ)
    place = np.frombuffer(memory, np.uint8).ctypes.data
    for file, length in zip(files, lengths, strict=True):
        with _opened(file, length, write) as number:
            flags = mmap.MAP_SHARED | MAP_FIXED
            if _libc().mmap(place, length, access, flags, number, 0) != place:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(file))
        place += length
    return memory


@contextmanager
def _opened(file: Path, length: int, write: bool) -> Iterator[int]:
    """Open a shard that lies there itself, is not a link, and has its length."""
    flags = (os.O_RDWR if write else os.O_RDONLY) | getattr(os, "O_NOFOLLOW", 0)
    number = os.open(file, flags | getattr(os, "O_BINARY", 0))
    try:
        if os.fstat(number).st_size != length:
            raise ValueError(f"{file} is not as large as it should be")
        yield number
    finally:
        os.close(number)


@cache
def _libc() -> Any:
    """Return the C library's functions, or None where files cannot be mapped side by side."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
    except (OSError, AttributeError, TypeError):
        return None
    pointer, length, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = (pointer, length, number, number, number, ctypes.c_longlong)
    return libc
