"""A manifest that can be told from a damaged one and from another's, and its spare copy."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.errors import InvalidError, SpiceError
from spice_cli.json_text import read_json
from spice_cli.run.files import quoted, write_text

if TYPE_CHECKING:
    from spice_cli.run.manifest import Manifest

MANIFEST = "run.json"
SPARE = "run.json.spare"
CHECK = "check"


def save_sealed(run: Path, manifest: "Manifest") -> str:
    """Write the manifest with the hash of its contents, which is returned, then the same once more.

    Raises:
        InvalidError: it cannot be written.
    """
    content = manifest.model_dump(mode="json")
    check = mark(content)
    text = text_of({**content, CHECK: check})
    for name in (MANIFEST, SPARE):
        write_text(run / name, text)
    return check


def text_of(content: dict[str, object]) -> str:
    """Spell a manifest as it is written.

    Raises:
        InvalidError: something in it, as the name of a file can be, is no text.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        start, end = text.rfind('"', 0, error.start) + 1, text.find('"', error.start)
        raise InvalidError(
            f"`{text[start:end]}` is not UTF-8, as whatever a run speaks of must be",
            hint="rename it",
        ) from None
    return text


def seal_of(run: Path) -> str | None:
    """Return the hash in the manifest there; none where that is gone, damaged or has none."""
    with suppress(SpiceError):
        content = read_json(run / MANIFEST)
        if is_sealed(content) and isinstance(check := content.get(CHECK), str):
            return check
    return None


def check_sole(run: Path, seal: str | None) -> None:
    """Refuse to write over what another process wrote since the manifest with this hash was there.

    A lock keeps others out, except on file systems where it does not reach other hosts.

    Raises:
        InvalidError: there is another whole manifest.
    """
    if (found := seal_of(run)) is not None and found != seal:
        raise InvalidError(
            f"another process wrote to `{run}` meanwhile; its file system lets both lock it",
            hint="one at a time there, or another run with `--run PATH`; then repeat the command",
        )


def mark(content: dict[str, object]) -> str:
    """Hash what a manifest says (sha256 in hex), the spaces and the hash in it aside."""
    said = {key: value for key, value in content.items() if key != CHECK}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_sealed(content: object) -> bool:
    """Tell whether a manifest says what was written; one without a hash is believed."""
    try:
        return isinstance(content, dict) and content.get(CHECK, seal := mark(content)) == seal
    except RecursionError:
        return False


def recovery(run: Path) -> str:
    """Spell the command that brings the manifest back; none where the spare is no better."""
    spare = run / SPARE
    with suppress(SpiceError, TypeError):
        if CHECK in (content := read_json(spare)) and is_sealed(content):
            return f"cp {quoted(spare)} {quoted(run / MANIFEST)}"
    return ""
