"""Text of any origin on one line, with nothing in it that a terminal would obey."""

import json
import re

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(text: str, *, but: str = "") -> str:
    r"""Spell control characters (C0, DEL, C1) as in Python, `\n` or `\x1b`, but those in `but`."""
    return _CONTROLS.sub(lambda at: at[0] if at[0] in but else _spelled(at[0]), text)


def field(text: str) -> str:
    r"""Spell a cell of a line of cells: as `visible`, and a backslash as two."""
    return visible(text.replace("\\", r"\\"))


def json_line(value: object) -> str:
    """Spell JSON on one line, in all characters but those that a terminal would obey."""
    text = json.dumps(value, ensure_ascii=False)
    return _CONTROLS.sub(lambda at: f"\\u{ord(at[0]):04x}", text)


def _spelled(character: str) -> str:
    return _SHORT.get(character) or f"\\x{ord(character):02x}"
