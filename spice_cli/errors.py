"""Failures the user can fix. Anything else is a bug and keeps its traceback."""

import errno
import os

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What is answered where there is no more room."""
OUTSIDE = FULL | {
    errno.EACCES, errno.EBADF, errno.EBUSY, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT, errno.ENOTDIR, errno.EPERM,
    errno.EROFS, errno.ESTALE, errno.ETXTBSY,
}  # fmt: skip
"""What the file system refuses through no fault of the program."""


class SpiceError(Exception):
    """Shown as `error: ...` and `hint: ...`, without a traceback.

    The message is one lower-case sentence without a full stop, names in backticks; the hint is a
    command or setting that can be pasted.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SpiceError):
    """The command line or a recipe asks for something that does not exist or cannot be."""

    exit_code = 2


class MissingError(SpiceError):
    """Something that is needed is not there: a stage, a file, a data set, a package."""

    exit_code = 3


class ShortError(MissingError):
    """There is not enough memory."""


class InvalidError(SpiceError):
    """Something is there but wrong: corrupt, stale, mismatched."""

    exit_code = 4


class CollapsedError(InvalidError):
    """Training went wrong in a way that more training will not mend."""


def caused(error: OSError | MemoryError) -> SpiceError | None:
    """Say what the machine did not give; none where the program itself may be at fault."""
    if isinstance(error, MemoryError):
        return ShortError("there is not enough memory")
    if error.errno not in OUTSIDE:
        return None
    path = error.filename2 or error.filename
    where = f"could not use `{os.fsdecode(path)}`" if path else "could not read or write"
    hint = "make room, then repeat the command" if error.errno in FULL else ""
    return InvalidError(f"{where}: {os.strerror(error.errno or 0).lower()}", hint=hint)
