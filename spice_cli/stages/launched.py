"""What a launcher of several processes says in the environment."""

import os


def launched(name: str, default: int) -> int:
    """Return a whole number that it says; `default` where it says none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
