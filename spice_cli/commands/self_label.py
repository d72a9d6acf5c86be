from typing import Annotated

import typer

from spice_cli.catalog import HEADS
from spice_cli.commands.locate import locate
from spice_cli.commands.options import (
    CheckpointOption,
    ClustersOption,
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


def self_label(
    run: RunOption = None,
    clusters: ClustersOption = None,
    heads: Annotated[
        int | None, typer.Option(help="Heads trained at once; the best is kept.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Rounds of labelling and training.")] = None,
    method: Annotated[str | None, one_of(HEADS, "--method", help="Which heads.")] = None,
    variant: Annotated[
        str | None,
        one_of(["code", "paper"], "--variant", help="Settings of the released code or the paper."),
    ] = None,
    from_: FromOption = None,
    precision: PrecisionOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    checkpoint_seconds: CheckpointOption = 20.0,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Find clusters: heads that learn from their own prototypes (SPICE-Self)."""
    from spice_cli.run.store import Run

    how = How(seed, device, checkpoint_seconds, force, json)
    opened = Run.open(locate(run))
    flags = {
        "clusters": clusters,
        "heads": heads,
        "epochs": epochs,
        "method": method,
        "variant": variant,
        "precision": precision,
    }
    run_stage(opened, "self-label", flags, set_, how, from_)
    finish(opened, "self-label", how)
