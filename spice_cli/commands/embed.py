from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.catalog import BACKBONES
from spice_cli.commands.begin import begin
from spice_cli.commands.devices import DevicesOption
from spice_cli.commands.locate import MANIFEST, RUNS, locate, named
from spice_cli.commands.networks import BackboneOption, WeightsOption
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
)
from spice_cli.commands.pretrained import adopt, begin_with, wanted
from spice_cli.commands.stage import How, finish, run_stage
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.run.store import Run


def embed(
    dataset: DatasetArgument = None,
    run: RunOption = None,
    recipe: RecipeOption = None,
    backbone: BackboneOption = None,
    weights: WeightsOption = None,
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
    protocol: ProtocolOption = None,
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    skip_bad: SkipBadOption = None,
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
    """Turn every image into a vector of unit length.

    With --backbone a network that others trained does it, and DATASET may begin a run; without, it
    is the network that `pretrain` left. With --from FILE the vectors come from elsewhere (.npy or
    .safetensors). If no run is named, or there is none there yet, a run starts from them alone.
    """
    how = How(seed, device, checkpoint_seconds, force, json, deterministic=deterministic)
    about = {
        "recipe": recipe,
        "protocol": protocol,
        "size": size,
        "test": test,
        "root": root,
        "skip_bad": skip_bad or None,
    }
    network = wanted(backbone, weights)
    _check(dataset, backbone, from_, about)
    found = None
    if dataset is None:
        opened = _open(named(run) if from_ else locate(run), from_, seed)
        if network and (force or not network.is_in(opened.manifest)):
            found = network.find()
    else:
        flags = {key: value for key, value in about.items() if key != "recipe"}
        settings: dict[str, Any] = {"recipe": recipe, "seed": seed, "flags": flags}
        if network is None:
            opened = begin(dataset, named(run), **settings)
        else:
            opened, found = begin_with(network, dataset, named(run), **settings, force=force)
    if found is not None:
        adopt(opened, found, seed, force=force)
    run_stage(opened, "embed", {"views": views, "precision": precision}, set_, how, from_)
    finish(opened, "embed", how)


def _open(path: Path | None, from_: Path | None, seed: int | None) -> "Run":
    """Open the run, or start one from embeddings alone."""
    from spice_cli.run.store import Run

    if from_ and (path is None or not (path / MANIFEST).exists()):
        from spice_cli.run.manifest import Recipe
        from spice_cli.stages.arrays import describe_embeddings

        data = describe_embeddings(from_)
        return Run.create(path or RUNS / from_.stem, data, Recipe(name="defaults"), seed=seed or 0)
    assert path is not None
    return Run.open(path)


def _check(
    dataset: str | None, backbone: str | None, from_: Path | None, about: Mapping[str, Any]
) -> None:
    given = [f"--{key.replace('_', '-')}" for key, value in about.items() if value is not None]
    if backbone in BACKBONES:
        raise UsageError(
            f"`{backbone}` has no weights of its own; it is trained first",
            hint=f"spice pretrain DATASET --backbone {backbone}",
        )
    if from_ is not None and (dataset or backbone):
        raise UsageError(
            "`--from` brings finished vectors, which need neither DATASET nor `--backbone`",
            hint=f"spice embed --from {quote(str(from_))}",
        )
    if dataset is None and given:
        raise UsageError(
            f"`{given[0]}` is about the data set, but none is named",
            hint=f"spice embed DATASET --backbone photos {given[0]} ...",
        )
