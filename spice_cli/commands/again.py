"""`spice run` of what it has finished before: the same answer, and nothing computed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from spice_cli import __version__
from spice_cli.catalog import DATASETS
from spice_cli.commands.locate import MANIFEST
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.errors import SpiceError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from spice_cli.console import Shown
    from spice_cli.run.again import Again

Seed = int | range | None
"""Of a run, or those of a family of runs."""
PROGRAM = Path(__file__).parent.parent


def answered(plan: Pipeline, path: Path, seed: Seed, with_report: bool) -> "Again | None":
    """Return what the same command said last; none where anything may have changed since.

    Files of the run that were written or moved since are looked into: the same bytes are no change.
    """
    from spice_cli.run.again import Again, settle, state_of

    kept = None if plan.how.force else Again.read(path)
    if kept is None:
        return None
    with suppress(OSError, SpiceError):
        found = _files(path, with_report)
        if found is None or _asked(plan, path, seed, with_report) != kept.asked:
            return None
        files, images = found
        if state_of(images) != kept.images:
            return None
        if (state := state_of(files)) != kept.files:
            settle()
            state = state_of(files)
            if _contents(path, files) != kept.contents:
                return None
            kept = kept.model_copy(update={"files": state})
            kept.write(path)
        return kept
    return None


def remember(
    plan: Pipeline,
    path: Path,
    seed: Seed,
    with_report: bool,
    shown: "Iterable[Shown]",
    *,
    scores: Mapping[str, dict[str, float]] = MappingProxyType({}),
    family: "dict[str, JsonValue] | None" = None,
) -> None:
    """Keep what a command says that just ended, for `answered`."""
    from spice_cli.run.again import Again, settle, state_of

    settle()
    with suppress(OSError, SpiceError):
        asked, found = _asked(plan, path, seed, with_report), _files(path, with_report)
        if not asked or found is None:
            return
        files, images = found
        kept = Again(
            asked=asked,
            images=state_of(images),
            files=state_of(files),
            contents=_contents(path, files, believed=True),
            scores=dict(scores),
            shown=tuple(shown),
            family=family,
        )
        kept.write(path)


def up_to_date(plan: Pipeline) -> list[str]:
    """Say of each stage that there is nothing to do."""
    computed = [stage for stage in plan.stages if stage != "pretrain" or plan.network is None]
    return [f"`{stage}` is up to date" for stage in computed]


def _asked(plan: Pipeline, path: Path, seed: Seed, with_report: bool) -> str:
    """Hash what a run is asked for, and the program; empty where it is to take in weights."""
    from spice_cli.run.again import state_of
    from spice_cli.settings.recipes import read_recipe

    if plan.network and plan.network.weights:
        return ""
    plan = replace(plan, how=replace(plan.how, force=False))
    source = plan.dataset if plan.dataset in DATASETS else str(Path(plan.dataset).resolve())
    recipe = read_recipe(plan.recipe) if plan.recipe else None
    program = state_of(sorted(PROGRAM.rglob("*.py")))
    said = [__version__, program, str(path), source, repr(plan), recipe, seed, with_report]
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()


def _files(path: Path, with_report: bool) -> tuple[list[Path], list[Path]] | None:
    """List the files that a run or family depends on, and those of its images.

    None where some are unknown, as those behind a link to a directory are, or where the report is
    gone that was asked for.
    """
    from spice_cli.data.origin_files import origin_files
    from spice_cli.run.again import files_of
    from spice_cli.run.load import load_manifest

    members = sorted(path.glob(f"seed-*/{MANIFEST}"))
    manifest = load_manifest(members[0].parent if members else path)
    spec = manifest.data.spec
    images = origin_files(spec) if spec else None
    files = files_of(path)
    if images is None or any(record.family for record in manifest.stages.values()):
        return None
    report = path / "report.html"
    if files is None or (with_report and not (report.is_file() and report.stat().st_size)):
        return None
    return files, images


def _contents(path: Path, files: Iterable[Path], *, believed: bool = False) -> dict[str, str]:
    """Hash files of a run or family; of artifacts that were just verified, believe the manifest."""
    from spice_cli.run.again import contents_of
    from spice_cli.run.load import load_manifest

    known: dict[Path, str] = {}
    for folder in {file.parent for file in files if believed and file.name == MANIFEST}:
        records = load_manifest(folder).stages.values()
        known |= {folder / record.file: record.sha256 for record in records}
    return contents_of(path, files, known)
