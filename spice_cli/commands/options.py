"""Options that mean the same thing in every command."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from spice_cli.catalog import DATASETS
from spice_cli.visible import visible

AUTO = "auto"


def _counted(text: str | None) -> str | None:
    if text is None or text == AUTO or (text.isdecimal() and int(text) >= 2):
        return text
    raise typer.BadParameter(f"`{visible(text)}` is neither a number from 2 nor `{AUTO}`")


def as_count(text: str | None) -> int | None:
    """Return the number that `--clusters` says; none for `AUTO`, and where it says nothing."""
    return None if text is None or text == AUTO else int(text)


RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        "-r",
        envvar="SPICE_RUN",
        metavar="PATH",
        help="Run directory; - reads its path from stdin. Default: this directory if it is a run, "
        "else the newest in ./runs.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Redo it even if it is up to date.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Default: the run's, which is 0 unless given.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda[:N]", help="Where to compute.")
]


def _determined(value: bool) -> bool:
    if value:  # read once, when CUDA starts
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    return value


DeterministicOption = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        callback=_determined,
        help="On a GPU too, the same bytes every time; slower. A CPU does so anyway.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of this stage, e.g. views.flip=0. Repeatable.",
    ),
]
FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="Take this stage's output from a file made elsewhere."
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        "--checkpoint-seconds", min=0, help="Least time between two checkpoints.", show_default=True
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="auto|bf16|fp32", help="auto: bf16 where the hardware has it."
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="Settings: a name from `spice recipes`, or a .toml file."),
]
ClustersOption = Annotated[
    int | None,
    typer.Option(
        "--clusters", "-k", help="How many; default: the classes that the data set declares."
    ),
]
ScoredClustersOption = Annotated[
    int | None,
    typer.Option("--clusters", "-k", min=2, help="For k-means on `embed` and `pretrain`."),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="True classes, an .npy of one integer a row."),
]
CountOption = Annotated[
    str | None,
    typer.Option(
        "--clusters",
        "-k",
        metavar="K|auto",
        callback=_counted,
        help="How many; auto: an estimate from the features (see `spice clusters`). Default: the "
        "classes that the data set declares.",
    ),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="whole|split",
        help="whole: train and evaluate on train and test together; split: train on train, "
        "evaluate on test. Default: whole.",
    ),
]
SizeOption = Annotated[
    int | None, typer.Option("--size", help="Side in pixels to resize the images to.")
]
TestOption = Annotated[
    str | None,
    typer.Option("--test", metavar="FILE", help="The Parquet file that holds the test images."),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="PATH",
        help="Where downloads are kept, or the directory that ImageNet or Tiny-ImageNet is in.",
    ),
]
SkipBadOption = Annotated[
    bool | None,
    typer.Option("--skip-bad", help="Leave unreadable images out and go on, however many."),
]


def one_of(names: Iterable[str] | Callable[[], Iterable[str]], *flags: str, help: str) -> Any:
    """Build an option whose values are known names."""

    def known() -> list[str]:
        return list(names() if callable(names) else names)

    def check(value: str | list[str] | None) -> str | list[str] | None:
        from difflib import get_close_matches

        for name in [value] if isinstance(value, str) else value or []:
            if "," in name and not isinstance(value, str):
                several = " ".join(name.replace(",", " ").split())
                raise typer.BadParameter(f"several are separated by spaces: {flags[0]} {several}")
            if name not in known():
                found = get_close_matches(name, known(), n=1)
                meant = f"; did you mean `{found[0]}`?" if found else ""
                raise typer.BadParameter(
                    f"`{visible(name)}` is not one of {', '.join(known())}{meant}"
                )
        return value

    def complete(incomplete: str) -> list[str]:
        return [name for name in known() if name.startswith(incomplete)]

    metavar = "NAME" if callable(names) else "|".join(names)
    return typer.Option(*flags, help=help, metavar=metavar, callback=check, autocompletion=complete)


BalanceOption = Annotated[
    str | None,
    one_of(
        ["equal", "none"],
        "--balance",
        help="none: clusters may be of any size; equal: as methods have it, of about one size. "
        "Default: equal.",
    ),
]


def _datasets(incomplete: str) -> list[str]:
    return [name for name in DATASETS if name.startswith(incomplete)]


DatasetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="DATASET",
        autocompletion=_datasets,
        show_default=False,
        help=f"{', '.join(DATASETS)}, or a path: a directory of images, Parquet, .npz, .tar.",
    ),
]
