"""Reading `run.json`, and saying in one sentence what is wrong with it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from spice_cli.errors import InvalidError, MissingError
from spice_cli.json_text import parse_json
from spice_cli.run.files import check_own, naming, quoted
from spice_cli.run.manifest import FORMAT, Manifest
from spice_cli.run.seal import MANIFEST, is_sealed, recovery

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHOWN = 5
"""Runs that are named."""
_FAULTS = (
    (r"missing", "is missing"),
    (r"extra_forbidden", "is unknown"),
    (r"string_pattern_mismatch", "is not of the form that it must have"),
    (r"string_", "is not a text"),
    (r"int_", "is not a whole number"),
    (r"float_|finite_number", "is not a number"),
    (r"bool_", "is not true or false"),
    (r"dict_type|model_", "is not a table"),
    (r"tuple_|list_|too_", "is not a list of the right length"),
    (r"datetime_|timezone_", "is not a time with its zone"),
    (r"literal_error|enum", "is not {expected}"),
    (r"greater_than_equal", "is below {ge}"),
    (r"greater_than", "is not above {gt}"),
    (r"less_than_equal", "is above {le}"),
    (r"value_error", "is wrong: {error}"),
)


def load_manifest(run: Path) -> Manifest:
    """Read the manifest of the run in a directory.

    Raises:
        MissingError: there is none.
        InvalidError: it is gone, not JSON, of a newer format, changed since it was written, or a
            field is wrong, named in the message; or a file of the run is a link (`check_own`).
    """
    path = run / MANIFEST
    check_own(run)
    try:
        with naming(path, "read"):
            text = path.read_bytes()
        manifest = Manifest.model_validate_json(text)
        if not is_sealed(parse_json(text, f"`{path}`")):
            raise InvalidError(
                f"`{path}` was changed since it was written (by hand? then take out its `check`)",
                hint=recovery(run) or "start another run with `--run PATH`",
            )
        return manifest.model_copy(update={"check": None})
    except InvalidError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        if hint := recovery(run):
            raise InvalidError(f"`{path}` is gone", hint=hint) from None
        raise MissingError(f"there is no run at `{run}`", hint=_elsewhere(run)) from None
    except ValidationError as error:
        faults = error.errors(include_url=False)
        if any(_newer(fault) for fault in faults):
            raise InvalidError(
                f"`{path}` was written by a newer `spice`; this one reads format {FORMAT}",
                hint="pip install --upgrade spice-cli",
            ) from None
        more = f" ({len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise InvalidError(
            f"`{path}` is not a manifest: {_sentence(faults[0])}{more}",
            hint=recovery(run) or "start another run with `--run PATH`",
        ) from None


def _elsewhere(run: Path) -> str:
    """Name the runs in a directory that is none, the newest first; else say how one is named."""
    try:
        found = sorted(run.glob(f"*/{MANIFEST}"), key=lambda file: -file.stat().st_mtime)
    except OSError:
        found = []
    if not found:
        return "pass `--run PATH`, set `SPICE_RUN`, or start one with `spice pretrain digits`"
    names = ", ".join(f"--run {quoted(file.parent)}" for file in found[:SHOWN])
    return f"in it there are runs: {names}{', ...' if found[SHOWN:] else ''}"


def _newer(fault: "ErrorDetails") -> bool:
    value = fault["input"]
    return fault["loc"] == ("format",) and type(value) is int and value > FORMAT


def _sentence(fault: "ErrorDetails") -> str:
    context = fault.get("ctx", {})
    if fault["type"] == "json_invalid":
        place = re.search(r"line \d+ column \d+", str(context.get("error")))
        return f"it is not JSON{f' at {place[0]}' if place else ''}"
    where = ".".join(str(part) for part in fault["loc"] if part != "[key]")[:80]
    for pattern, sentence in _FAULTS:
        if re.match(pattern, fault["type"]):
            return f"{f'`{where}`' if where else 'it'} {sentence.format(**context)}"
    return f"`{where}` is not what it must be"
