"""Runs of one directory that differ in nothing but their seed, and what they scored together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from spice_cli.errors import InvalidError, MissingError
from spice_cli.figures import figure
from spice_cli.run.files import quoted
from spice_cli.run.manifest import Manifest, Stage
from spice_cli.run.seal import MANIFEST
from spice_cli.run.store import Run
from spice_cli.stages.scored import Scored


@dataclass(frozen=True)
class Repeated:
    """One metric over several runs."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.values)

    @property
    def deviation(self) -> float | None:
        """Their sample standard deviation (n - 1); none of a single run."""
        return stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.4f}"
        return f"{figure(self.mean)}{spread}"


def repeated(found: Sequence[Scored]) -> dict[str, Repeated]:
    """Gather the scores that all of several runs have."""
    shared = [name for name in found[0].scores if all(name in each.scores for each in found)]
    return {name: Repeated(tuple(each.scores[name] for each in found)) for name in shared}


def member(family: Path, seed: int) -> Path:
    """Name the run of a seed."""
    return family / f"seed-{seed}"


def members(path: Path) -> list[Run]:
    """Open the run at a path, or all runs of the family there, by seed.

    Raises:
        MissingError: there is neither.
    """
    if (path / MANIFEST).is_file():
        return [Run.open(path)]
    found = {
        int(name[1]): file.parent
        for file in path.glob(f"seed-*/{MANIFEST}")
        if (name := re.fullmatch(r"seed-(\d+)", file.parent.name))
    }
    if not found:
        raise MissingError(
            f"`{path}` is neither a run nor a family of runs",
            hint="runs: `ls runs`; a family: `spice run digits --seeds 5`",
        )
    return [Run.open(found[seed]) for seed in sorted(found)]


def lineage(manifest: Manifest, stage: Stage) -> list[Stage]:
    """List a finished stage and all that it was made of, in the order they ran."""
    found, left = set(), {stage}
    while left:
        at = left.pop()
        found.add(at)
        inputs = manifest.stages[at].inputs if at in manifest.stages else {}
        left |= {Stage(name) for name in inputs if name != "data"} - found
    return [each for each in Stage if each in found]


def check_alike(runs: Sequence[Run], stage: Stage) -> None:
    """Check that runs made a stage of the same images with the same settings.

    Raises:
        MissingError: one has not finished the stage.
        InvalidError: names the first run, the stage and the settings that are different.
    """
    first = runs[0]
    for run in runs:
        run.record(stage)
    for run in runs[1:]:
        what = f"`{first.path.name}` and `{run.path.name}` in `{run.path.parent}`"
        if run.manifest.data != first.manifest.data:
            raise InvalidError(f"{what} are about different images, not one family")
        for each in lineage(first.manifest, stage):
            ours, theirs = first.record(each).config, run.record(each).config
            keys = [k for k in {**ours, **theirs} if k != "from" and ours.get(k) != theirs.get(k)]
            if keys:
                raise InvalidError(
                    f"{what} ran `{each}` with different settings ({', '.join(sorted(keys))}), "
                    "not one family",
                    hint=f"`spice run ... --seeds {len(runs)} -r {quoted(run.path.parent)}` brings "
                    "all up to date",
                )
