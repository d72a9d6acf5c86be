"""What is wrong with settings, in words."""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError

MOST = 12
"""Names that are listed."""


def close(name: str, names: Iterable[str]) -> str:
    """Suggest what was meant, or list what there is."""
    names = list(names)
    found = difflib.get_close_matches(name, names, n=1)
    if found:
        return f", did you mean `{found[0]}`?"
    if len(names) <= MOST:
        return f"; there are {', '.join(names)}"
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
    return f"; nearest is `{nearest}` of {len(names)} (docs/methods.md lists them)"


def faults_in(error: ValidationError, section: str, known: Iterable[str]) -> list[str]:
    """Say all that is wrong with the settings of a section, a clause each."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(map(str, fault["loc"])) or section
        if fault["type"] == "extra_forbidden":
            lines.append(f"`{key}` is not a setting of `{section}`{close(key, known)}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"`{key}` = `{fault['input']}`: {message[0].lower()}{message[1:]}")
    return lines
