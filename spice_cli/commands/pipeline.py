"""All stages of a run, one after another, and the scores of those that cluster."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spice_cli.catalog import STAGES
from spice_cli.commands.begin import begin
from spice_cli.commands.check import look_over
from spice_cli.commands.clusters import counted
from spice_cli.commands.counted import check_counted
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.commands.plan_settings import with_settings
from spice_cli.commands.pretrained import adopt, begin_with
from spice_cli.commands.stage import run_stage
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.config.pretrain import Pretrain
    from spice_cli.config.self_label import SelfLabel
    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run


def start(plan: Pipeline, path: Path | None, seed: int | None) -> "tuple[Pipeline, Run]":
    """Open or create a run, and check the settings of all its stages; return the plan with them."""
    check_counted(plan, path)
    found = None
    settings: dict[str, Any] = {
        "recipe": plan.recipe,
        "seed": seed,
        "flags": plan.about,
        "dry": plan.dry,
    }
    if plan.network is None:
        run = begin(plan.dataset, path, **settings)
    else:
        force = plan.how.force
        run, found = begin_with(plan.network, plan.dataset, path, **settings, force=force)
    plan = replace(with_settings(plan, run), found=found)
    _check(plan, run)
    if not run.manifest.stages:
        look_over(run)
    if found is not None and not plan.dry:
        adopt(run, found, seed, force=plan.how.force)
    return plan, run


def complete(plan: Pipeline, run: "Run", seed: int | None) -> Pipeline:
    """Bring every stage up to date; return the plan with the number of clusters, if it was open."""
    how = replace(plan.how, seed=seed)
    for stage in plan.stages:
        if plan.network and stage == "pretrain":
            continue
        run_stage(run, stage, plan.flags(stage), plan.sets[stage], how)
        if stage == "embed" and plan.auto:
            plan = replace(plan, clusters=counted(run, how), auto=False)
    return plan


def scored_stages(plan: Pipeline, run: "Run") -> "list[Stage]":
    """List the stages that can be scored, the furthest last."""
    from spice_cli.run.manifest import Stage
    from spice_cli.stages.assignments import SCORED

    known = plan.clusters or run.manifest.data.classes
    return [
        stage
        for stage in reversed(SCORED)
        if stage in plan.stages
        and stage in run.manifest.stages
        and (known or stage is not Stage.EMBED)
    ]


def by_stage(sets: list[str]) -> dict[str, list[str]]:
    """Sort `STAGE.KEY=VALUE` by stage."""
    out: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for text in sets:
        stage, dot, rest = text.partition(".")
        if not dot or stage not in out:
            raise UsageError(
                f"`--set {text}` names no stage",
                hint=f"one of {', '.join(out)}: --set semi.steps=500",
            )
        out[stage].append(rest)
    return out


def configs_of(plan: Pipeline, run: "Run") -> dict[str, Any]:
    """Return the config of each stage to run; all faults of one are a `UsageError`."""
    from spice_cli.settings.configs import stage_config

    sections = run.manifest.recipe.sections
    return {
        stage: stage_config(
            stage,
            sections.get(stage),
            plan.how.flags(run, stage, plan.flags(stage), plan.sets[stage]),
            plan.sets[stage],
        )
        for stage in plan.stages
    }


def _check(plan: Pipeline, run: "Run") -> None:
    """Find what is wrong with the settings of late stages before the early ones take hours."""
    from spice_cli.stages.self_label import cluster_count
    from spice_cli.stages.semi import check_init

    configs = configs_of(plan, run)
    data = run.manifest.data
    if plan.auto:
        _check_auto(configs["pretrain"], configs.get("self-label"))
    elif "self-label" in configs:
        clusters = cluster_count(configs["self-label"].clusters, data.classes)
        if clusters > data.train:
            raise UsageError(f"{clusters} clusters are more than {data.train} training images")
    if "semi" in configs:
        check_init(configs["semi"], configs["pretrain"])


def _check_auto(pretrain: "Pretrain", self_label: "SelfLabel | None") -> None:
    """Check that nothing needs, or says, the number of clusters before it is estimated."""
    from spice_cli.catalog import METHODS, load

    if getattr(load(METHODS[pretrain.method]), "uses_clusters", False):
        raise UsageError(
            f"`{pretrain.method}` needs the number of clusters before there are features to "
            "estimate it from",
            hint="--clusters K, or another method: --set pretrain.method=simclr",
        )
    if self_label is not None and self_label.clusters is not None:
        raise UsageError(
            f"`--clusters auto`, and `clusters={self_label.clusters}` of `self-label`: which?",
            hint="leave one of them out",
        )
