"""What `spice run` said when it ended, to be said again while nothing has changed since."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import JsonValue, ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError, SpiceError
from spice_cli.json_text import read_json
from spice_cli.run.files import check_own, sha256, write_text
from spice_cli.run.manifest import Stage
from spice_cli.run.seal import CHECK, is_sealed, mark

AGAIN = "again.json"
STARTS = (
    *(f"{stage}." for stage in Stage if stage is not Stage.ASK),
    *("run.json", "evaluate.json", "confusion.png", "clusters.json", "curation.json"),
    "family.json",
)
"""What the names of the files start with on which it depends what `spice run` says."""
TICK = 0.02
"""Seconds that are longer than the step of a file system's clock."""


class Again(Frozen):
    """How a command ended."""

    asked: str
    """Hash of all that it was asked for, and of the program."""
    images: str
    """The `state_of` the files of the images."""
    files: str
    """The `state_of` the run's files."""
    contents: dict[str, str]
    """The `contents_of` the run's files, where their state changed and they may not have."""
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
        with suppress(SpiceError, TypeError, RecursionError, ValidationError):
            content = read_json(run / AGAIN)
            if CHECK in content and is_sealed(content):
                del content[CHECK]
                return cls.model_validate(content)
        return None

    def write(self, run: Path) -> None:
        """Keep it in a run, where that can be written to."""
        content = self.model_dump(mode="json")
        with suppress(InvalidError):
            write_text(run / AGAIN, json.dumps({**content, CHECK: mark(content)}) + "\n")


def settle() -> None:
    """Wait, so that whoever changes a file from now on changes what `state_of` its times says."""
    time.sleep(TICK)


def files_of(run: Path) -> list[Path] | None:
    """List the files on which it depends what a run or a family of runs says, and what it leaves.

    None where a directory is a link.
    """
    found = sorted(run.rglob("*"))
    if any(path.is_symlink() and path.is_dir() for path in found):
        return None
    return [path for path in found if path.name.startswith(STARTS) and not path.is_dir()]


def contents_of(run: Path, files: Iterable[Path], known: Mapping[Path, str]) -> dict[str, str]:
    """Hash files by their names below `run`; not those whose hash is `known`.

    Raises InvalidError for one that cannot be read.
    """
    return {str(path.relative_to(run)): known.get(path) or sha256(path) for path in files}


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
