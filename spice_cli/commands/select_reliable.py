from typing import Annotated

import typer

from spice_cli.catalog import SELECTIONS
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.locate import locate
from spice_cli.commands.options import (
    DeterministicOption,
    DeviceOption,
    ForceOption,
    FromOption,
    JsonOption,
    RunOption,
    SeedOption,
    SetOption,
    one_of,
)
from spice_cli.commands.stage import How, finish, run_stage


def select_reliable(
    run: RunOption = None,
    neighbors: Annotated[
        int | None, typer.Option(help="Nearest neighbours that vote at most, the image among them.")
    ] = None,
    agreement: Annotated[
        float | None, typer.Option(help="Least share of them that must agree (spice).")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="Probability that must be exceeded (spice, scan); 0 for any."),
    ] = None,
    balance: Annotated[
        str | None,
        one_of(
            ["smallest", "none"],
            "--balance",
            help="Cut every cluster to the size of the smallest, or keep all.",
        ),
    ] = None,
    min_per_cluster: Annotated[
        int | None,
        typer.Option(help="Relax for clusters with fewer than this, and for these alone."),
    ] = None,
    method: Annotated[str | None, one_of(SELECTIONS, "--method", help="How to select.")] = None,
    variant: Annotated[
        str | None,
        one_of(
            ["code", "paper"],
            "--variant",
            help="Settings of the released code or the paper (spice).",
        ),
    ] = None,
    from_: FromOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    deterministic: DeterministicOption = False,
    devices: DevicesOption = 1,
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Keep the labels whose neighbours agree with them."""
    from spice_cli.run.store import Run

    how = How(seed, device, force=force, as_json=json, deterministic=deterministic)
    opened = Run.open(locate(run))
    flags = {
        "neighbors": neighbors,
        "agreement": agreement,
        "confidence": confidence,
        "balance": balance,
        "min_per_cluster": min_per_cluster,
        "method": method,
        "variant": variant,
    }
    run_stage(opened, "select-reliable", flags, set_, how, from_)
    finish(opened, "select-reliable", how)
