from typing import TYPE_CHECKING, Annotated

import typer

from spice_cli.catalog import DATASETS
from spice_cli.commands.options import JsonOption, RootOption, SizeOption, TestOption
from spice_cli.console import emit, emit_lines, say

if TYPE_CHECKING:
    from spice_cli.run.store import Run
    from spice_cli.stages.check_data import Findings

_told: set[str] = set()


def check(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help=f"A path to images, or {', '.join(DATASETS)}."),
    ],
    size: SizeOption = None,
    test: TestOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """List images that cannot be read, are there twice, turned, in train and test, or plain.

    Writes a line for each: what it is, its path, and the path of the other one.
    """
    from spice_cli.data.load import resolve
    from spice_cli.settings import data_spec
    from spice_cli.stages.check_data import check_data
    from spice_cli.stages.image_rows import lines
    from spice_cli.stages.images import load_once

    about = {"name": resolve(dataset), "size": size, "test": test, "root": root, "skip_bad": True}
    data, _ = load_once(data_spec({}, about), say)
    findings = check_data(data)
    _tell(findings)
    if json:
        facts = {"images": findings.images, "compared": findings.compared, **findings.found}
        emit(facts, as_json=True)
        return
    columns = ("kind", "path", "other")
    rows = [
        dict(zip(columns, (kind, *pair), strict=True))
        for kind, pairs in findings.found.items()
        for pair in pairs
    ]
    emit_lines(lines(rows, columns, "tsv"))


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
