"""A manifest that can be told from a damaged one and from another's, and its spare copy."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.errors import InvalidError
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
    sealed = {**content, CHECK: check}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name in (MANIFEST, SPARE):
        write_text(run / name, text)
    return check


def seal_of(run: Path) -> str | None:
    """Return the hash in the manifest there; none where that is gone, damaged or has none."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads((run / MANIFEST).read_bytes())
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
    if not isinstance(content, dict):
        return False
    return CHECK not in content or content[CHECK] == mark(content)


def recovery(run: Path) -> str:
    """Spell the command that brings the manifest back; none where the spare is no better."""
    spare = run / SPARE
    with suppress(OSError, ValueError, RecursionError):
        if CHECK in (content := json.loads(spare.read_bytes())) and is_sealed(content):
            return f"cp {quoted(spare)} {quoted(run / MANIFEST)}"
    return ""
