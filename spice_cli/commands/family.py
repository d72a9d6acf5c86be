"""`spice run --seeds N`: a run a seed, what they score on average, and what they agree on."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from spice_cli.commands.again import answered, remember, up_to_date
from spice_cli.commands.locate import MANIFEST
from spice_cli.commands.pipeline import complete, scored_stages, start
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.commands.repeated import as_json, seeds_of, tabbed
from spice_cli.console import Shown, Terminal, emit, present, say
from spice_cli.errors import UsageError
from spice_cli.figures import figure

if TYPE_CHECKING:
    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.stages.family import Repeated
    from spice_cli.stages.scored import Scored


@dataclass(frozen=True)
class _Found:
    """What the runs of a family came to, by stage."""

    scores: "dict[Stage, dict[str, Repeated]]"
    stability: "dict[Stage, dict[str, float]]"
    """Mean agreement of all pairs of runs."""
    united: "dict[Stage, Scored]"
    """Scores of the consensus."""


def run_family(plan: Pipeline, path: Path, seeds: range) -> None:
    """Complete a run for every seed, then print mean, deviation and n, and the consensus."""
    if (path / MANIFEST).exists():
        elsewhere = quote(f"{path}-seeds")
        raise UsageError(
            f"`{path}` is a run, and a family of runs cannot be in it",
            hint=f"spice run {quote(plan.dataset)} --seeds {len(seeds)} -r {elsewhere}",
        )
    if kept := answered(plan, path, seeds, with_report=False):
        present(kept.shown)
        _emit(plan, kept.family or {})
        return
    from spice_cli.stages.consensus import NAME
    from spice_cli.stages.family import member

    asked, runs, said = plan, [], list[Shown]()
    for seed in seeds:
        plan, run = start(plan, member(path, seed), seed)
        runs.append(run)
    for run, seed in zip(runs, seeds, strict=True):
        say(f"seed {seed}: {run.path}")
        plan = complete(plan, run, seed)
        said += [f"seed {seed}: {run.path}", *up_to_date(plan)]
    stages = scored_stages(plan, runs[0])
    if not stages:
        as_json = plan.how.as_json
        emit([str(run.path) for run in runs] if as_json else path, as_json=as_json)
        return
    found = _score(plan, path, runs, stages)
    table = _table(path, runs, found)
    present([table])
    family = _as_json(path, runs, found)
    united = [f"`{stage}` of {path / NAME} is up to date" for stage in found.united]
    remember(asked, path, seeds, False, [*said, *united, table], family=family)
    _emit(plan, family)


def _emit(plan: Pipeline, family: "dict[str, Any]") -> None:
    """Print all of it, or as lines the scores of the furthest stage."""
    if plan.how.as_json:
        emit(family, as_json=True)
        return
    last = list(family["stages"].values())[-1]
    emit({name: tabbed(each) for name, each in last.items()})


def _score(plan: Pipeline, path: Path, runs: "list[Run]", stages: "list[Stage]") -> _Found:
    from spice_cli.stages.consensus import STAGES, stability_of, unite
    from spice_cli.stages.evaluate import Choices
    from spice_cli.stages.family import check_alike, repeated
    from spice_cli.stages.scored import keep_family, kept_in, scored

    for stage in stages:
        check_alike(runs, stage)
    track, choices = Terminal(), Choices(clusters=plan.clusters)
    kept = kept_in([path, *(run.path for run in runs)])
    found = {s: [scored(run, s, choices, kept, track) for run in runs] for s in stages}
    agreeing = [stage for stage in stages if stage in STAGES and len(runs) > 1]
    united = {}
    if agreeing:
        consensus = unite(path, runs, agreeing, track)
        united = {s: scored(consensus, s, choices, kept, track) for s in agreeing}
    every = [each for listed in found.values() for each in listed]
    keep_family(path, [*every, *united.values()])
    return _Found(
        scores={stage: repeated(listed) for stage, listed in found.items()},
        stability={stage: stability_of(runs, stage) for stage in agreeing},
        united=united,
    )


def _table(path: Path, runs: "list[Run]", found: _Found) -> "Shown":
    data = runs[0].manifest.data
    seeds = seeds_of(tuple(run.manifest.seed for run in runs))
    names = list(dict.fromkeys(name for each in found.scores.values() for name in each))
    rows = []
    for stage, scores in found.scores.items():
        agreed = found.stability.get(stage)
        cells = [str(scores.get(name, "")) for name in names]
        rows.append([stage, *cells, str(len(runs)), f"{agreed['ari']:.4f}" if agreed else ""])
        if one := found.united.get(stage):
            cells = [figure(one.scores[n]) if n in one.scores else "" for n in names]
            rows.append([f"{stage}, consensus", *cells, "", ""])
    kind = ", NMI arithmetic" if "nmi" in names else ""
    title = f"{path}: {data.name}, protocol {data.protocol}, seeds {seeds}, mean ± deviation{kind}"
    return title, ["stage", *names, "n", "ARI between seeds"], rows


def _as_json(path: Path, runs: "list[Run]", found: _Found) -> dict[str, Any]:
    data = runs[0].manifest.data
    return {
        "family": str(path),
        "data": data.name,
        "protocol": data.protocol,
        "seeds": [run.manifest.seed for run in runs],
        "stages": {
            stage: {name: as_json(each) for name, each in scores.items()}
            for stage, scores in found.scores.items()
        },
        "stability": found.stability,
        "consensus": {stage: one.scores for stage, one in found.united.items()},
    }
