"""What a person answered: kept in the run, a line an answer, at once."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json
from spice_cli.run.curation import Id
from spice_cli.run.files import naming, quoted
from spice_cli.run.manifest import Sha256

FILE = "answers.jsonl"


class Answer(Frozen):
    """One image: in a cluster, in none of some, or passed over."""

    row: Annotated[int, Field(ge=0)]
    """Place in the data set."""
    path: str
    cluster: Id | None = None
    none_of: tuple[Id, ...] = ()
    """With neither this nor a cluster, it was passed over."""
    of: Sha256
    """The artifact whose clusters these are."""
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    @model_validator(mode="after")
    def _one_of_both(self) -> "Answer":
        if self.cluster is not None and self.none_of:
            raise ValueError("either a cluster or those that it is not")
        return self

    @property
    def said(self) -> int | tuple[int, ...] | None:
        """Return the cluster, or those that it is not; None where it was passed over."""
        return self.none_of or None if self.cluster is None else self.cluster


def load_answers(run: Path, of: str) -> tuple[dict[int, Answer], int]:
    """Read the last answer about each row, by row, and how many there are of other results.

    A line that a crash cut off at the end is passed over; any other that is wrong is an
    InvalidError.
    """
    file = run / FILE
    if not file.exists():
        return {}, 0
    with naming(file, "read"):
        lines = file.read_bytes().split(b"\n")
    found: dict[int, Answer] = {}
    others = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = Answer.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                continue
            raise InvalidError(
                f"line {number} of `{file}` is not an answer: {error.errors()[0]['msg'].lower()}",
                hint=f"put the file aside: mv {quoted(file)} {quoted(file)}.old",
            ) from None
        if answer.of == of:
            found.pop(answer.row, None)
            found[answer.row] = answer
        else:
            others += 1
    return found, others


def add_answers(run: Path, answers: Iterable[Answer]) -> None:
    """Append answers, durably: when this returns they are on the disk."""
    file = run / FILE
    text = "".join(answer.model_dump_json() + "\n" for answer in answers).encode()
    with naming(file), file.open("a+b") as stream:
        if stream.tell() and not _ends(stream):
            text = b"\n" + text
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def mark(answers: Mapping[int, Answer]) -> str:
    """Hash what was answered, whenever that was."""
    said = sorted((row, each.said) for row, each in answers.items() if each.said is not None)
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def read_given(file: Path) -> list[dict[str, Any]]:
    """Read answers that another program or person wrote, each with `path` and `cluster` as text.

    CSV with these two columns, or a JSON object a line in a file that ends in `.jsonl`.

    Raises:
        MissingError: there is no such file.
        InvalidError: names the line that is wrong.
    """
    if not file.is_file():
        raise MissingError(f"there is no file `{file}`")
    try:
        with naming(file, "read"):
            text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() in (".jsonl", ".ndjson"):
            return [_row(parse_json(line, f"line {n}"), n) for n, line in _lines(text)]
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"path", "cluster"} <= set(rows.fieldnames or ()):
            raise ValueError("its first line must name the columns `path` and `cluster`")
        return [_row(each, n) for n, each in enumerate(rows, 2)]
    except (ValueError, csv.Error, InvalidError) as error:
        raise InvalidError(
            f"`{file}` holds no answers: {error}", hint="a CSV of the columns path,cluster"
        ) from None


def row_of(path: str, known: Mapping[str, int], root: Path) -> int | None:
    """Find an image by its path in the data set, its place on the disk, or its row's number."""
    if path in known:
        return known[path]
    try:
        below = Path(path).resolve().relative_to(root.resolve()).as_posix()
    except (ValueError, OSError):
        below = ""
    return known.get(below)


def _row(found: object, number: int) -> dict[str, Any]:
    if not isinstance(found, dict) or "path" not in found or "cluster" not in found:
        raise ValueError(f"line {number} has no `path` and `cluster`")
    path, cluster = found["path"], found["cluster"]
    if not isinstance(path, str) or not isinstance(cluster, str | int | None):
        raise ValueError(f"line {number}: `path` is text, `cluster` a number or a name")
    return {"path": path, "cluster": "" if cluster is None else str(cluster).strip()}


def _lines(text: str) -> Sequence[tuple[int, str]]:
    return [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _ends(stream: Any) -> bool:
    stream.seek(-1, os.SEEK_END)
    last: bytes = stream.read(1)
    return last == b"\n"
