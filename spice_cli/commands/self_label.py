from pathlib import Path
from typing import Annotated

import typer

from spice_cli.catalog import HEADS
from spice_cli.commands.clusters import counted
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.locate import locate
from spice_cli.commands.options import (
    AUTO,
    BalanceOption,
    CheckpointOption,
    CountOption,
    DeterministicOption,
    DeviceOption,
    ForceOption,
    FromOption,
    JsonOption,
    PrecisionOption,
    RunOption,
    SeedOption,
    SetOption,
    as_count,
    one_of,
)
from spice_cli.commands.stage import How, finish, run_stage


def self_label(
    run: RunOption = None,
    clusters: CountOption = None,
    heads: Annotated[
        int | None, typer.Option(help="Heads trained at once; the best is kept.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Rounds over the images.")] = None,
    balance: BalanceOption = None,
    method: Annotated[str | None, one_of(HEADS, "--method", help="Which heads.")] = None,
    variant: Annotated[
        str | None,
        one_of(["code", "paper"], "--variant", help="spice: settings of its code or its paper."),
    ] = None,
    space: Annotated[
        list[Path] | None,
        typer.Option(
            "--space",
            metavar="RUN|FILE",
            help="Further features of the same images, for turtle: a run, .npy or .safetensors. "
            "Repeatable.",
        ),
    ] = None,
    self_label_: Annotated[
        bool, typer.Option("--self-label", help="scan: let the network teach itself afterwards.")
    ] = False,
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
    """Find clusters: train heads on the embeddings, or cluster them outright."""
    from spice_cli.run.store import Run

    how = How(seed, device, checkpoint_seconds, force, json, balance, deterministic=deterministic)
    opened = Run.open(locate(run))
    if clusters == AUTO and from_ is None:
        number: int | None = counted(opened, how)
    else:
        number = as_count(clusters)
    flags = {
        "clusters": number,
        "heads": heads,
        "epochs": epochs,
        "method": method,
        "variant": variant,
        "self_label": self_label_ or None,
        "spaces": [str(each.resolve()) for each in space] if space else None,
        "precision": precision,
    }
    run_stage(opened, "self-label", flags, set_, how, from_)
    finish(opened, "self-label", how)
