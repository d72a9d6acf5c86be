"""A manifest that can be told from a damaged one, and its spare copy."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.run.files import quoted, write_text

if TYPE_CHECKING:
    from spice_cli.run.manifest import Manifest

MANIFEST = "run.json"
SPARE = "run.json.spare"
CHECK = "check"


def save_sealed(run: Path, manifest: "Manifest") -> None:
    """Write the manifest with the hash of its contents, then the same once more.

    Raises:
        InvalidError: it cannot be written.
    """
    content = manifest.model_dump(mode="json")
    sealed = {**content, CHECK: mark(content)}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name in (MANIFEST, SPARE):
        write_text(run / name, text)


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
