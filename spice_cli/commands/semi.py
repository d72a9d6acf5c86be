from typing import Annotated

import typer

from spice_cli.catalog import BACKBONES, SEMI
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.locate import locate
from spice_cli.commands.options import (
    CheckpointOption,
    DeterministicOption,
    DeviceOption,
    ForceOption,
    FromOption,
    JsonOption,
    PrecisionOption,
    RunOption,
    SeedOption,
    SetOption,
    one_of,
)
from spice_cli.commands.stage import How, finish, run_stage


def semi(
    run: RunOption = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Updates at most. Default: follows the number of reliable labels."),
    ] = None,
    init: Annotated[
        str | None,
        one_of(
            ["pretrain", "random"],
            "--init",
            help="Start from the run's own weights, or from random ones as the released code does.",
        ),
    ] = None,
    backbone: Annotated[
        str | None, one_of(BACKBONES, "--backbone", help="Default: the run's own.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Confidence at which a prediction teaches (fixmatch, joint)."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Labelled images an update.")] = None,
    method: Annotated[
        str | None, one_of(SEMI, "--method", help="How to trust predictions.")
    ] = None,
    from_: FromOption = None,
    precision: PrecisionOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    deterministic: DeterministicOption = False,
    devices: DevicesOption = 1,
    checkpoint_seconds: CheckpointOption = 20.0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Train a classifier on the reliable labels and on guesses for all images."""
    from spice_cli.run.store import Run

    how = How(seed, device, checkpoint_seconds, force, json, deterministic=deterministic)
    opened = Run.open(locate(run))
    flags = {
        "steps": steps,
        "init": init,
        "backbone": backbone,
        "threshold": threshold,
        "batch_size": batch_size,
        "method": method,
        "precision": precision,
    }
    run_stage(opened, "semi", flags, set_, how, from_)
    finish(opened, "semi", how)
