"""What a stage said of each epoch: `<stage>.jsonl`, one JSON object a line."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import to_json

from spice_cli.errors import InvalidError
from spice_cli.json_text import parse_json
from spice_cli.run import files
from spice_cli.run.manifest import Stage
from spice_cli.run.redo import log_file


class Log:
    """The log of one stage; every line has an `epoch`."""

    def __init__(self, run_path: Path, stage: Stage, *, again: bool = False) -> None:
        """Name it; that of a stage computed `again` lies aside until its result is there."""
        self.path = log_file(run_path, stage) if again else run_path / f"{stage}.jsonl"

    def append(self, record: Mapping[str, JsonValue]) -> None:
        """Add a line, flushed; what is not a finite number becomes null."""
        line = to_json(dict(record), inf_nan_mode="null") + b"\n"
        with files.naming(self.path), self.path.open("ab") as stream:
            stream.write(line)

    def rewind(self, epoch: int) -> None:
        """Drop the lines after an epoch, and any that were torn by a crash."""
        if self.path.exists():
            with files.naming(self.path, "read"):
                lines = self.path.read_bytes().splitlines(keepends=True)
            kept = b"".join(line for line in lines if _epoch(line) <= epoch)
            files.write_text(self.path, kept.decode())

    def clear(self) -> None:
        """Start anew."""
        files.remove(self.path)


class Unwritten(Log):
    """The log of a process that only computes with the one that writes."""

    def append(self, record: Mapping[str, JsonValue]) -> None:
        """Leave it to the other."""

    def rewind(self, epoch: int) -> None:
        """Leave it to the other."""

    def clear(self) -> None:
        """Leave it to the other."""


def _epoch(line: bytes) -> float:
    """Read a line's epoch; a line that is torn comes after all."""
    try:
        return float(parse_json(line, "a line")["epoch"]) if line.endswith(b"\n") else float("inf")
    except (InvalidError, ValueError, KeyError, TypeError, OverflowError):
        return float("inf")
