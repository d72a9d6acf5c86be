from typing import TYPE_CHECKING, Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import DeviceOption, JsonOption, RunOption, SeedOption
from spice_cli.commands.stage import How
from spice_cli.console import Terminal, emit, say, warn

if TYPE_CHECKING:
    from spice_cli.run.store import Run
    from spice_cli.stages.count_clusters import Counted

COLUMNS = ("clusters", "silhouette", "std", "strength", "std", "silhouette of a cloud")


def clusters(
    run: RunOption = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--most",
            metavar="K",
            min=3,
            help="The largest number to try. Default: 30, or one for 20 images.",
        ),
    ] = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Estimate how many clusters there are, with its range and the curve it is read from."""
    from spice_cli.run.store import Run

    opened = Run.open(locate(run))
    found = estimate(opened, How(seed, device), most)
    if json:
        emit(found.model_dump(mode="json"), as_json=True)
        return
    pairs = zip(found.clusters, found.silhouette, found.strength, found.cloud, strict=True)
    rows = [(str(k), *(f"{v:.4f}" for v in (*s, *p, cloud))) for k, s, p, cloud in pairs]
    emit("\n".join("\t".join(row) for row in (COLUMNS, *rows)))


def estimate(run: "Run", how: How, most: int | None = None) -> "Counted":
    """Estimate the number of clusters from the run's features, and say it."""
    from spice_cli.stages.count_clusters import count_clusters, summary
    from spice_cli.stages.perform import choose_device

    seed = run.manifest.seed if how.seed is None else how.seed
    with run.lock():
        found = count_clusters(
            run, seed=seed, most=most, device=choose_device(how.device), track=Terminal()
        )
    for line in summary(found):
        say(line)
    return found


def counted(run: "Run", how: How) -> int:
    """Return the number for `--clusters auto`; without evidence of clusters one to merge from."""
    from spice_cli.stages.count_clusters import unevident

    found = estimate(run, how)
    if not found.evident:
        warn(unevident(found))
    return found.taken
