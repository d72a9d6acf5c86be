from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from spice_cli.catalog import BACKBONES
from spice_cli.commands.begin import begin
from spice_cli.commands.locate import locate, named
from spice_cli.commands.options import (
    DatasetArgument,
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
from spice_cli.commands.stage import How, finish
from spice_cli.console import Terminal
from spice_cli.errors import UsageError


def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Weights: .pth, .pt or .safetensors.", dir_okay=False),
    ],
    dataset: DatasetArgument = None,
    run: RunOption = None,
    recipe: RecipeOption = None,
    backbone: Annotated[
        str | None, one_of(BACKBONES, "--backbone", help="Default: what the weights look like.")
    ] = None,
    stem: Annotated[
        str | None,
        one_of(
            ["small", "patch", "pool", "imagenet"],
            "--stem",
            help="Default: what the first convolution looks like; whether one of 3x3 is followed "
            "by pooling cannot be seen: then small up to 48 pixels, pool above.",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="PREFIX", help="Which network, where a file holds several."),
    ] = None,
    protocol: ProtocolOption = None,
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    skip_bad: SkipBadOption = None,
    seed: SeedOption = None,
    json: JsonOption = False,
) -> None:
    """Begin with a backbone that another program trained: it becomes what `pretrain` left.

    Read are ResNets as torchvision, timm, MoCo, SimCLR, SCAN, SPICE, CC, ProPos and lightly name
    them, and our own. Nothing in the file is run. Without DATASET it goes into an existing run.
    """
    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.settings.configs import stage_config
    from spice_cli.stages.backbone import image_size
    from spice_cli.stages.imports import adopt_backbone
    from spice_cli.stages.weights import find, settled

    flags: dict[str, Any] = {
        "protocol": protocol,
        "size": size,
        "test": test,
        "root": root,
        "skip_bad": skip_bad or None,
    }
    if dataset is None and (given := [k for k, v in flags.items() if v is not None]):
        flag = f"--{given[0].replace('_', '-')}"
        raise UsageError(
            f"`{flag}` is about the data set, but none is named",
            hint=f"spice import {quote(str(file))} DATASET {flag} ...",
        )
    weights = find(file, part)
    if dataset is None:
        opened = Run.open(locate(run))
    else:
        opened = begin(dataset, named(run), recipe=recipe, seed=seed, flags=flags)
    section = opened.manifest.recipe.sections.get(Stage.PRETRAIN)
    config = stage_config("pretrain", section, {})
    fitting = settled(weights, config, image_size(opened))
    fitting |= {k: v for k, v in {"backbone": backbone, "stem": stem}.items() if v is not None}
    config = stage_config("pretrain", section, fitting)
    seed = opened.manifest.seed if seed is None else seed
    with opened.lock():
        adopt_backbone(opened, weights, config, seed=seed, track=Terminal(), asked=fitting)
    finish(opened, "pretrain", How(as_json=json))
