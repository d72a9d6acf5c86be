from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.catalog import DATASETS, STAGES
from spice_cli.commands.begin import begin
from spice_cli.commands.evaluate import tell
from spice_cli.commands.locate import RUNS, named
from spice_cli.commands.options import (
    CheckpointOption,
    ClustersOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    ProtocolOption,
    RecipeOption,
    RootOption,
    RunOption,
    SeedOption,
    SizeOption,
    SkipBadOption,
    TestOption,
    one_of,
)
from spice_cli.commands.stage import How, run_stage
from spice_cli.console import Terminal, emit, say, show
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.run.store import Run


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|RECIPE",
            help=f"{', '.join(DATASETS)}, a path to images, or a recipe that names its data set.",
        ),
    ],
    run: RunOption = None,
    recipe: RecipeOption = None,
    clusters: ClustersOption = None,
    until: Annotated[str | None, one_of(STAGES, "--until", help="Stop after this stage.")] = None,
    protocol: ProtocolOption = None,
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    skip_bad: SkipBadOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Any setting of any stage, e.g. pretrain.epochs=50. Repeatable.",
        ),
    ] = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    checkpoint_seconds: CheckpointOption = 20.0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Run all stages, skipping what is up to date, and evaluate."""
    from spice_cli.settings import read_recipe, recipe_names
    from spice_cli.stages.assignments import SCORED
    from spice_cli.stages.evaluate import Choices, evaluate

    dataset = name
    path = named(run)
    if name not in DATASETS and (name in recipe_names() or name.endswith(".toml")):
        recipe = recipe or name
        dataset = str(read_recipe(recipe).get("data", {}).get("name", ""))
        if not dataset:
            raise UsageError(
                f"recipe `{recipe}` names no data set", hint=f"spice run DATASET --recipe {recipe}"
            )
        path = path or RUNS / recipe.rsplit("/", 1)[-1].removesuffix(".toml")
    sets = _by_stage(set_ or [])
    flags: dict[str, Any] = {
        "protocol": protocol,
        "size": size,
        "test": test,
        "root": root,
        "skip_bad": skip_bad or None,
    }
    opened = begin(dataset, path, recipe=recipe, seed=seed, flags=flags)
    how = How(seed, device, checkpoint_seconds, force, json)
    order = list(STAGES)
    wanted = order[: order.index(until) + 1] if until else order
    own = {stage: {"clusters": clusters} if stage == "self-label" else {} for stage in wanted}
    _check(opened, own, sets)
    for stage in wanted:
        run_stage(opened, stage, own[stage], sets[stage], how)
    track = Terminal()
    scores: dict[str, dict[str, float]] = {}
    last = None
    for scored in reversed(SCORED):
        known = clusters or opened.manifest.data.classes or scored != "embed"
        if scored in wanted and scored in opened.manifest.stages and known:
            last = evaluate(opened, Choices(stage=scored, clusters=clusters), track)
            scores[scored] = last.scores
    if last is None:
        emit(scores if json else opened.path, as_json=json)
        return
    tell(opened, last)
    names = list(last.scores)
    rows = [[s, *(f"{v[n]:.4f}" if n in v else "" for n in names)] for s, v in scores.items()]
    show(f"all stages ({last.protocol}, n = {last.images:,})", ["stage", *names], rows)
    say(f"run {opened.path}")
    emit(scores if json else last.scores, as_json=json)


def _check(run: "Run", own: dict[str, dict[str, Any]], sets: dict[str, list[str]]) -> None:
    """Find what is wrong with the settings of late stages before the early ones take hours."""
    from spice_cli.settings import stage_config
    from spice_cli.stages.self_label import cluster_count
    from spice_cli.stages.semi import check_init

    sections = run.manifest.recipe.sections
    configs = {s: stage_config(s, sections.get(s), own[s], sets[s]) for s in own}
    data = run.manifest.data
    if "self-label" in configs:
        clusters = cluster_count(configs["self-label"].clusters, data.classes)
        if clusters > data.train:
            raise UsageError(f"{clusters} clusters are more than {data.train} training images")
    if "semi" in configs:
        check_init(configs["semi"], configs["pretrain"])


def _by_stage(sets: list[str]) -> dict[str, list[str]]:
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
