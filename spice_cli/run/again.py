"""What `spice run` said when it ended, to be said again while nothing has changed since."""

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import JsonValue, ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError
from spice_cli.run.files import check_own, write_text
from spice_cli.run.lock import LOCK
from spice_cli.run.seal import CHECK, is_sealed, mark

AGAIN = "again.json"
TICK = 0.02
"""Seconds that are longer than the step of a file system's clock."""


class Again(Frozen):
    """How a command ended."""

    asked: str
    """Hash of all that it was asked for, and of the program."""
    files: str
    """The `state_of` the run's files and those of its images."""
    scores: dict[str, dict[str, float]]
    """Of each stage that can be scored, the furthest last."""
    shown: tuple[str | tuple[str, list[str], list[list[str]]], ...]
    """Lines and tables, each of a title, columns and rows."""
    family: dict[str, JsonValue] | None = None
    """What a family of runs came to, in place of scores."""

    @classmethod
    def read(cls, run: Path) -> Self | None:
        """Return what is kept in a run; none where nothing is, or where it is damaged."""
        check_own(run)
        with suppress(OSError, ValueError, RecursionError, ValidationError):
            content = json.loads((run / AGAIN).read_bytes())
            if CHECK in content and is_sealed(content):
                del content[CHECK]
                return cls.model_validate_json(json.dumps(content))
        return None

    def write(self, run: Path) -> None:
        """Keep it in a run, where that can be written to."""
        content = self.model_dump(mode="json")
        with suppress(InvalidError):
            write_text(run / AGAIN, json.dumps({**content, CHECK: mark(content)}) + "\n")


def settle() -> None:
    """Wait, so that whoever changes a file from now on changes what `state_of` its times says."""
    time.sleep(TICK)


def files_of(run: Path) -> list[Path]:
    """List what lies in a run or a family of runs; what is kept here, and locks, aside."""
    return sorted(path for path in run.rglob("*") if path.name not in (AGAIN, LOCK))


def state_of(files: Iterable[Path]) -> str:
    """Hash name, size, times and number of files; none is read.

    Whoever writes to one, moves another into its place or sets its times changes this. Raises
    OSError for one that is not there.
    """
    digest = hashlib.sha256()
    for path in files:
        found = path.stat()
        state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode]
        digest.update(json.dumps([str(path), *state]).encode())
    return digest.hexdigest()
