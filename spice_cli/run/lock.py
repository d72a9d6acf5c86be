"""One writer a run. The kernel holds the lock, so it goes with its process, even by SIGKILL."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from spice_cli.errors import InvalidError
from spice_cli.run.files import check_own, naming

LOCK = ".lock"


@contextmanager
def holding(lock: FileLock, run: Path) -> Iterator[None]:
    """Hold a run's lock, or fail at once.

    Raises:
        InvalidError: another process holds it, or the directory cannot be written or locked.
    """
    check_own(run)
    with naming(run):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise InvalidError(
                f"`{run}` is being written by another process",
                hint="wait until it is done, or choose another run with `--run PATH`",
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            raise InvalidError(
                f"could not lock `{run}`: its file system has no locks",
                hint="a run on another one: `--run PATH`",
            ) from error
    try:
        yield
    finally:
        lock.release()
