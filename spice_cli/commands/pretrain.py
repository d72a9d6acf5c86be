from typing import Annotated

import typer

from spice_cli.catalog import BACKBONES, METHODS
from spice_cli.commands.begin import begin
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.locate import locate, named
from spice_cli.commands.options import (
    CheckpointOption,
    DatasetArgument,
    DeterministicOption,
    DeviceOption,
    ForceOption,
    FromOption,
    JsonOption,
    PrecisionOption,
    ProtocolOption,
    RecipeOption,
    RootOption,
    RunOption,
    SeedOption,
    SetOption,
    SizeOption,
    SkipBadOption,
    TestOption,
    one_of,
)
from spice_cli.commands.stage import How, finish, run_stage
from spice_cli.errors import UsageError


def pretrain(
    dataset: DatasetArgument = None,
    run: RunOption = None,
    recipe: RecipeOption = None,
    method: Annotated[str | None, one_of(METHODS, "--method", help="How to pretrain.")] = None,
    backbone: Annotated[str | None, one_of(BACKBONES, "--backbone", help="What to train.")] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            "-k",
            help="How many, for methods that look for them; default: the classes that the data set "
            "declares.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images an update.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    protocol: ProtocolOption = None,
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    skip_bad: SkipBadOption = None,
    precision: PrecisionOption = None,
    set_: SetOption = None,
    from_: FromOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    deterministic: DeterministicOption = False,
    devices: DevicesOption = 1,
    checkpoint_seconds: CheckpointOption = 20.0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Train a backbone on images without labels."""
    how = How(seed, device, checkpoint_seconds, force, json, deterministic=deterministic)
    flags = {
        "protocol": protocol,
        "size": size,
        "test": test,
        "root": root,
        "skip_bad": skip_bad or None,
    }
    if dataset is None:
        from spice_cli.run.store import Run

        given = [key for key, value in {"recipe": recipe, **flags}.items() if value is not None]
        if given:
            flag = f"--{given[0].replace('_', '-')}"
            raise UsageError(
                f"`{flag}` is about the data set, but none is named",
                hint=f"spice pretrain DATASET {flag} ...",
            )
        opened = Run.open(locate(run))
    else:
        opened = begin(dataset, named(run), recipe=recipe, seed=seed, flags=flags)
    settings = {
        "method": method,
        "backbone": backbone,
        "clusters": clusters,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "precision": precision,
    }
    run_stage(opened, "pretrain", settings, set_, how, from_)
    finish(opened, "pretrain", how)
