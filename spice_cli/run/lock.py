"""One writer a run. The kernel holds the lock, so it goes with its process, even by SIGKILL.

Where a file system has no such locks, `filelock` writes host and process into a file in its place.
"""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from spice_cli.errors import InvalidError
from spice_cli.run.files import check_own, naming, quoted

LOCK = ".lock"


@contextmanager
def holding(lock: FileLock, run: Path) -> Iterator[None]:
    """Hold a run's lock, or fail at once.

    Raises:
        InvalidError: another process holds it, or the directory cannot be written or locked.
    """
    check_own(run)
    with naming(run), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flock not supported", UserWarning)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            left = isinstance(lock, SoftFileLock)
            raise InvalidError(
                f"`{run}` is being written by another process",
                hint="wait until it is done, or choose another run with `--run PATH`"
                + f"; if there is none: rm {quoted(run / LOCK)}" * left,
            ) from None
        except (OSError, NotImplementedError) as error:  # the latter from older `filelock`
            if getattr(error, "errno", errno.ENOLCK) not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            raise InvalidError(
                f"could not lock `{run}`: its file system has no locks",
                hint="a run on another one: `--run PATH`",
            ) from error
    try:
        yield
    finally:
        lock.release()
