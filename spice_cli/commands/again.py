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

if TYPE_CHECKING:
    from pydantic import JsonValue

    from spice_cli.console import Shown
    from spice_cli.run.again import Again

Seed = int | range | None
"""Of a run, or those of a family of runs."""
PROGRAM = Path(__file__).parent.parent


def answered(plan: Pipeline, path: Path, seed: Seed, with_report: bool) -> "Again | None":
    """Return what the same command said last; none where anything may have changed since."""
    from spice_cli.run.again import Again

    kept = None if plan.how.force else Again.read(path)
    if kept is None:
        return None
    with suppress(OSError):
        asked = _asked(plan, path, seed, with_report)
        if asked == kept.asked and _state(path) == kept.files:
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
    from spice_cli.run.again import Again, settle

    settle()
    with suppress(OSError):
        asked, files = _asked(plan, path, seed, with_report), _state(path)
        if asked and files:
            kept = Again(
                asked=asked, files=files, scores=dict(scores), shown=tuple(shown), family=family
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


def _state(path: Path) -> str:
    """Hash the state of all files that a run or family depends on; empty where some are unknown.

    Those behind a link to a directory are.
    """
    from spice_cli.data.origin_files import origin_files
    from spice_cli.run.again import files_of, state_of
    from spice_cli.run.load import load_manifest
    from spice_cli.run.siblings import family_of

    members = sorted(path.glob(f"seed-*/{MANIFEST}"))
    manifest = load_manifest(members[0].parent if members else path)
    spec = manifest.data.spec
    images = origin_files(spec) if spec else None
    if images is None or any(family_of(record) for record in manifest.stages.values()):
        return ""
    files = files_of(path)
    if any(each.is_symlink() and each.is_dir() for each in files):
        return ""
    return state_of([*files, *images])
