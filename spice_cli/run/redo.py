"""A finished stage that is computed anew: what it left stays whole until the new is there.

Meanwhile `<stage>.redo` says in place of which result, and by which work, so that whoever killed
that work can have it go on, and its log is `<stage>.checkpoint.jsonl`.
"""

from contextlib import suppress
from pathlib import Path

from spice_cli.run import files
from spice_cli.run.manifest import Record, Stage

ASKED = "asked"


class Redo:
    """How it stands with computing anew what `record` speaks of; nothing without a record."""

    def __init__(self, run: Path, stage: Stage, record: Record | None) -> None:
        self.record = record
        self.mark, self.own = mark_file(run, stage), log_file(run, stage)
        self.log = run / f"{stage}.jsonl"

    @property
    def asked(self) -> bool:
        """Whether it is still to be done, for a command that is started again."""
        return self._is(ASKED)

    def begun(self, key: str) -> bool:
        """Tell whether work of this key was at it when it was interrupted."""
        return self._is(key)

    def ask(self) -> None:
        """Have it done by the command that is running, also when that is started again."""
        if self.record is not None:
            files.remove(self.own)
            files.write_text(self.mark, self._of(ASKED))

    def begin(self, key: str) -> None:
        """Note that work of this key is at it from now on."""
        if self.record is None:
            self.forget()
        elif not self.begun(key):
            files.remove(self.own)
            files.write_text(self.mark, self._of(key))

    def abandon(self) -> None:
        """Let what is there stand; the log of the work that failed stays for whoever looks."""
        files.remove(self.mark)

    def forget(self) -> None:
        """Let what is there stand, as if nothing had been begun."""
        files.remove(self.own)
        self.abandon()

    def settle(self) -> None:
        """Once another result has taken the place of the one that was marked, take its log too."""
        said = self._said()
        if self.record is None or not said or said[0] == self.record.finished.isoformat():
            return
        if said[1:] != [ASKED] and not self.record.imported and self.own.exists():
            with files.naming(self.log):
                self.own.replace(self.log)
        self.forget()

    def _is(self, key: str) -> bool:
        return self.record is not None and self._said() == self._of(key).split()

    def _of(self, key: str) -> str:
        assert self.record is not None
        return f"{self.record.finished.isoformat()} {key}\n"

    def _said(self) -> list[str]:
        with suppress(OSError, UnicodeDecodeError):
            return self.mark.read_text("utf-8").split()
        return []


def mark_file(run: Path, stage: Stage) -> Path:
    """Name the file that says that a finished stage is computed anew."""
    return run / f"{stage}.redo"


def log_file(run: Path, stage: Stage) -> Path:
    """Name the log of a stage that is computed anew."""
    return run / f"{stage}.checkpoint.jsonl"
