"""Names of any bytes as text."""

from pathlib import Path


def text(name: str | Path) -> str:
    """Spell a path or a name as text; bytes that are none become escapes."""
    return str(name).encode("utf-8", "backslashreplace").decode()
