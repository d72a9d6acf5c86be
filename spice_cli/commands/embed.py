from typing import Annotated

import typer

from spice_cli.commands.locate import MANIFEST, RUNS, locate, named
from spice_cli.commands.options import (
    DeviceOption,
    ForceOption,
    FromOption,
    JsonOption,
    PrecisionOption,
    RunOption,
    SeedOption,
    SetOption,
)
from spice_cli.commands.stage import How, finish, run_stage


def embed(
    run: RunOption = None,
    views: Annotated[
        int | None,
        typer.Option(
            "--views",
            metavar="V",
            help="Also store V weak and V strong views of each image, so that heads train without "
            "the backbone.",
        ),
    ] = None,
    from_: FromOption = None,
    precision: PrecisionOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Turn every image into a vector of unit length.

    With --from FILE the vectors come from elsewhere (.npy or .safetensors). If no run is named,
    or there is none there yet, a run starts from them alone.
    """
    from spice_cli.run.store import Run

    how = How(seed, device, force=force, as_json=json)
    path = named(run) if from_ else locate(run)
    if from_ and (path is None or not (path / MANIFEST).exists()):
        from spice_cli.run.manifest import Recipe
        from spice_cli.stages.imports import describe_embeddings

        data = describe_embeddings(from_)
        opened = Run.create(
            path or RUNS / from_.stem, data, Recipe(name="defaults"), seed=seed or 0
        )
    else:
        assert path is not None
        opened = Run.open(path)
    run_stage(opened, "embed", {"views": views, "precision": precision}, set_, how, from_)
    finish(opened, "embed", how)
