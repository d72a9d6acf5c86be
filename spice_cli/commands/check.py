import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.catalog import DATASETS
from spice_cli.commands.locate import locate
from spice_cli.commands.networks import BackboneOption, WeightsOption
from spice_cli.commands.options import (
    DeviceOption,
    JsonOption,
    RootOption,
    RunOption,
    SizeOption,
    TestOption,
)
from spice_cli.commands.pretrained import Wanted, wanted
from spice_cli.console import Terminal, emit, emit_lines, say
from spice_cli.errors import UsageError

if TYPE_CHECKING:
    from spice_cli.data.dataset import Dataset
    from spice_cli.run.store import Run
    from spice_cli.stages.check_data import Findings
    from spice_cli.stages.sight import Sight

_told: set[str] = set()


def check(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            show_default=False,
            help=f"A path to images, or {', '.join(DATASETS)}. Default: the images of the run.",
        ),
    ] = None,
    run: RunOption = None,
    backbone: BackboneOption = None,
    weights: WeightsOption = None,
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """List images that cannot be read, are there twice, turned, in train and test, or plain.

    Writes a line for each: what it is, its path, and the path of the other one. With --backbone,
    and of a run, a network also tells which look alike, and which lie the wrong way round.
    """
    from spice_cli.stages.check_data import check_data
    from spice_cli.stages.image_rows import lines

    network = wanted(backbone, weights)
    if dataset and run and str(run) != os.environ.get("SPICE_RUN"):
        raise UsageError(
            "`check` looks at DATASET or at the images of `--run`, not at both",
            hint=f"spice check -r {shlex.quote(str(run))}",
        )
    if dataset is None:
        given = {"size": size, "test": test, "root": root, "backbone": backbone}
        data, sight = _of_run(locate(run), given, device)
    else:
        about = {"size": size, "test": test, "root": root}
        data, sight = _of_images(dataset, about, network, device)
    findings = check_data(data, sight)
    _tell(findings)
    if json:
        facts = {"images": findings.images, "compared": findings.compared, **findings.found}
        way = {"judged": findings.judged, "accuracy": findings.accuracy}
        emit({**facts, "orientation": way}, as_json=True)
        return
    columns = ("kind", "path", "other")
    rows = [
        dict(zip(columns, (kind, *pair), strict=True))
        for kind, pairs in findings.found.items()
        for pair in pairs
    ]
    emit_lines(lines(rows, columns, "tsv"))


def _of_run(
    path: Path, given: Mapping[str, str | int | None], device: str
) -> "tuple[Dataset, Sight | None]":
    from spice_cli.run.store import Run
    from spice_cli.stages.images import images_of
    from spice_cli.stages.perform import choose_device
    from spice_cli.stages.sight import eye_of_run, look

    if said := [name for name, value in given.items() if value is not None]:
        raise UsageError(
            f"`--{said[0]}` is about a data set, but none is named",
            hint=f"spice check DATASET --{said[0]} ...",
        )
    run = Run.open(path)
    data = images_of(run, say)
    return data, look(data, eye_of_run(run, choose_device(device)), Terminal())


def _of_images(
    dataset: str, about: Mapping[str, Any], network: Wanted | None, device: str
) -> "tuple[Dataset, Sight | None]":
    from spice_cli.data.load import resolve
    from spice_cli.settings.configs import data_spec
    from spice_cli.stages.images import load_once
    from spice_cli.stages.perform import choose_device
    from spice_cli.stages.sight import eye_of, look

    name = resolve(dataset)
    found = network.find() if network else None
    own = {"size": found.facts.side} if found and dataset not in DATASETS else {}
    data, _ = load_once(data_spec(own, {"name": name, "skip_bad": True, **about}), say)
    if found is None:
        return data, None
    eye = eye_of(found, data.images.shape[-1], choose_device(device))
    return data, look(data, eye, Terminal())


def look_over(run: "Run") -> None:
    """Say, once a process, what is wrong with a run's images where they come from a path."""
    data = run.manifest.data
    if data.name in DATASETS or data.fingerprint in _told:
        return
    from spice_cli.stages.check_data import check_data
    from spice_cli.stages.images import images_of

    _told.add(data.fingerprint)
    _tell(check_data(images_of(run, say)))


def _tell(findings: "Findings") -> None:
    found = any(findings.found.values())
    say(f"checked {findings.images:,} images: {'look at these' if found else 'nothing wrong'}")
    for line in findings.lines:
        say(f"  {line}")
