"""Running all stages once, and the scores and the report that this ends with."""

from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.commands.again import answered, remember, up_to_date
from spice_cli.commands.evaluate import tell
from spice_cli.commands.pipeline import complete, scored_stages, start
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.console import Shown, Terminal, emit, present, say
from spice_cli.errors import SpiceError
from spice_cli.figures import figure

if TYPE_CHECKING:
    from spice_cli.run.store import Run


def run_once(plan: Pipeline, path: Path, seed: int | None, *, with_report: bool) -> None:
    """Run all stages, or say again how that ended where nothing has changed since."""
    if kept := answered(plan, path, seed, with_report):
        present(kept.shown)
        _emit(plan, kept.scores)
        return
    from spice_cli.stages.evaluate import Choices, evaluate

    asked = plan
    plan, opened = start(plan, path, seed)
    plan = complete(plan, opened, seed)
    scores: dict[str, dict[str, float]] = {}
    last = None
    for stage in scored_stages(plan, opened):
        last = evaluate(opened, Choices(stage=stage, clusters=plan.clusters), Terminal())
        scores[stage] = last.scores
    if last is None:
        emit(scores if plan.how.as_json else opened.path, as_json=plan.how.as_json)
        return
    shown = tell(opened, last)
    names = list(last.scores)
    rows = [[s, *(figure(v[n]) if n in v else "" for n in names)] for s, v in scores.items()]
    title = f"all stages ({last.protocol}, n = {last.images:,})"
    ended: list[Shown] = [(title, ["stage", *names], rows), f"run {opened.path}"]
    present(ended)
    told = [_report(opened, plan.clusters)] if with_report else []
    if shown and all(told):
        said = [*up_to_date(plan), *shown, *ended, *told]
        remember(asked, opened.path, seed, with_report, said, scores=scores)
    _emit(plan, scores)


def _emit(plan: Pipeline, scores: dict[str, dict[str, float]]) -> None:
    """Print all scores, or as lines those of the furthest stage."""
    as_json = plan.how.as_json
    emit(scores if as_json else list(scores.values())[-1], as_json=as_json)


def _report(run: "Run", clusters: int | None) -> str:
    """Write the run's report and say so; a run is no worse for a report that fails."""
    from spice_cli.stages.report import report

    file = run.path / "report.html"
    try:
        report(run, file, clusters=clusters, maps=("pca",), track=Terminal())
    except SpiceError as error:
        say(f"no report: {error}")
        return ""
    say(f"report {file}")
    return f"report {file}"
