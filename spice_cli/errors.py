"""Failures the user can fix. Anything else is a bug and keeps its traceback."""


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


class InvalidError(SpiceError):
    """Something is there but wrong: corrupt, stale, mismatched."""

    exit_code = 4


class CollapsedError(InvalidError):
    """Training went wrong in a way that more training will not mend."""
