"""Runs that were started and came to nothing: they may be about something else."""

from pathlib import Path

from spice_cli.run.load import load_manifest
from spice_cli.run.manifest import Data
from spice_cli.run.seal import MANIFEST, SPARE
from spice_cli.run.standing import begun
from spice_cli.run.store import Run


def vacant(path: Path, data: Data) -> bool:
    """Tell whether the run at `path` has other settings than `data`, on which nothing rests."""
    manifest = load_manifest(path)
    ours = manifest.data
    same = (ours.spec, ours.fingerprint) == (data.spec, data.fingerprint)
    return ours.name == data.name and not same and not begun(path, manifest)


def vacate(path: Path, data: Data) -> None:
    """Take away the manifest of a run that is `vacant`; errors as in `Run.lock`."""
    if not vacant(path, data):
        return
    with Run.open(path).lock():
        if vacant(path, data):
            (path / SPARE).unlink(missing_ok=True)
            (path / MANIFEST).unlink()
