from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from spice_cli.catalog import DATASETS, STAGES
from spice_cli.commands.begin import place
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.family import run_family
from spice_cli.commands.locate import RUNS, named
from spice_cli.commands.networks import BackboneOption, WeightsOption
from spice_cli.commands.options import (
    AUTO,
    BalanceOption,
    CheckpointOption,
    CountOption,
    DeterministicOption,
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
    as_count,
    one_of,
)
from spice_cli.commands.pipeline import by_stage, start
from spice_cli.commands.pipeline_plan import Pipeline
from spice_cli.commands.plan import show_plan
from spice_cli.commands.pretrained import choose
from spice_cli.commands.run_once import run_once
from spice_cli.commands.stage import How
from spice_cli.console import say
from spice_cli.errors import UsageError


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
    backbone: BackboneOption = None,
    weights: WeightsOption = None,
    clusters: CountOption = None,
    balance: BalanceOption = None,
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
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            help="Run N seeds, from --seed on, each in a run of its own below PATH; then print "
            "mean and deviation, and unite their clusters in the run `consensus`.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            min=1,
            help="Pick settings for about so long, for images that no recipe is about. Default: "
            "10, up to 60 for many images.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show stages, settings, time and memory, and do nothing else."
        ),
    ] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write no report.html at the end.")
    ] = False,
    device: DeviceOption = "auto",
    deterministic: DeterministicOption = False,
    devices: DevicesOption = 1,
    checkpoint_seconds: CheckpointOption = 20.0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Run all stages, skipping what is up to date, and evaluate."""
    from spice_cli.settings.recipes import read_recipe, recipe_names

    dataset = name
    path = named(run)
    if name not in DATASETS and (name in recipe_names() or name.endswith(".toml")):
        recipe = recipe or name
        dataset = str(read_recipe(recipe).get("data", {}).get("name", ""))
        if not dataset:
            raise UsageError(
                f"recipe `{recipe}` names no data set",
                hint=f"spice run DATASET --recipe {quote(recipe)}",
            )
        named_by = recipe.rsplit("/", 1)[-1].removesuffix(".toml")
        path = path or RUNS / (named_by if seeds is None else f"{named_by}-seeds")
    about: dict[str, Any] = {
        "protocol": protocol,
        "size": size,
        "test": test,
        "root": root,
        "skip_bad": skip_bad or None,
    }
    how = How(seed, device, checkpoint_seconds, force, json, balance, deterministic=deterministic)
    default = RUNS / f"{dataset if dataset in DATASETS else Path(dataset).resolve().stem}-seeds"
    where = place(dataset, path) if seeds is None else (path or default) / f"seed-{seed or 0}"
    network = choose(dataset, where, backbone, weights, recipe=recipe)
    if network and until is None:
        until = "self-label"
        say("ends with `self-label`; `--until semi` trains the network on these images too")
    plan = Pipeline(
        dataset,
        recipe,
        about,
        as_count(clusters),
        until,
        by_stage(set_ or []),
        how,
        backbone if network is None else None,
        network,
        clusters == AUTO,
        minutes,
        dry=dry_run,
    )
    if dry_run:
        plan, opened = start(plan, where if seeds is not None else path, seed)
        show_plan(plan, opened, seed, seeds or 1)
        return
    if seeds is None:
        run_once(plan, where, seed, with_report=not no_report)
        return
    run_family(plan, path or default, range(seed or 0, (seed or 0) + seeds))
