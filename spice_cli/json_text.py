"""JSON that anybody may have written: parsed, or refused in a sentence."""

import json
from pathlib import Path
from typing import Any

from spice_cli.errors import InvalidError, MissingError


def parse_json(text: str | bytes, what: str) -> Any:
    """Parse JSON of any origin; `what` names it in the error, as in "line 3 of `x.jsonl`".

    Raises:
        InvalidError: it is not JSON in UTF-8, nested too deeply, or has a number of too many
            digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidError(f"{what} is not JSON that can be read: nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidError(f"{what} is not JSON at {place}") from None
    except ValueError:
        raise InvalidError(f"{what} is not JSON that can be read") from None


def read_json(file: Path) -> Any:
    """Read a file of JSON.

    Raises:
        MissingError: there is no such file.
        InvalidError: as in `parse_json`, or it cannot be read.
    """
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"there is no file `{file}`") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise InvalidError(f"could not read `{file}`: {reason}") from None
    return parse_json(text, f"`{file}`")
