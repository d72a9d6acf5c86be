import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import ClustersOption, DeviceOption, RunOption, one_of
from spice_cli.console import Terminal, emit, emit_lines, emit_table, say, warn
from spice_cli.errors import InvalidError, MissingError, UsageError

if TYPE_CHECKING:
    from spice_cli.data.stream import Named

SHOWN = ("embed", "self-label", "semi", "ask")


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES", help="Files, directories, or - for paths on stdin, one a line."
        ),
    ],
    run: RunOption = None,
    format_: Annotated[
        str | None,
        one_of(
            ["tsv", "csv", "jsonl", "table", "parquet"],
            "--format",
            help="Default: tsv, or what the name of --output ends in.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout."),
    ] = None,
    stage: Annotated[
        str | None, one_of(SHOWN, "--stage", help="Whose clusters. Default: the furthest.")
    ] = None,
    clusters: ClustersOption = None,
    usual: Annotated[
        float,
        typer.Option(
            "--usual",
            metavar="SHARE",
            min=0,
            max=1,
            help="Images farther from their cluster's centre than this share of the training "
            "images are marked as unusual.",
        ),
    ] = 0.99,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 256,
    device: DeviceOption = "auto",
) -> None:
    """Tell which cluster new images belong to, how surely, and which look like none of them.

    Writes a line an image as it goes: path, cluster, its name, confidence, distance from the
    cluster's centre (one minus the cosine), and whether that is unusual. Images that cannot be
    read are named on stderr; their line has only the path. So has that of a path that does not
    exist, which makes the exit code 3 once all others are told.
    """
    if Path("-") in images and run == Path("-"):
        raise UsageError("stdin cannot name both the run and the images", hint="--run PATH")
    if not any(each == Path("-") or there(each) for each in images):
        raise MissingError(f"`{images[0]}` does not exist", hint="check it with `ls`")

    from spice_cli.stages.image_rows import format_of, lines, write

    kind = format_of(output, format_) if output else format_ or "tsv"
    if (kind == "table" and output) or (kind == "parquet" and not output):
        raise UsageError(
            f"`--format {kind}` is {'not for files' if output else 'not for stdout'}",
            hint="--format csv" if output else "--output predictions.parquet",
        )
    path = locate(run)

    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run
    from spice_cli.stages.perform import choose_device
    from spice_cli.stages.predict import COLUMNS, Predict, Predictor, predicted_rows

    config = Predict(stage=Stage(stage) if stage else None, clusters=clusters, share=usual)
    predictor = Predictor(Run.open(path), choose_device(device), config, Terminal())
    count = Count()
    rows = count.over(predicted_rows(predictor, _named(images, count), batch_size))
    if output:
        write(output, rows, COLUMNS, kind)
    elif kind == "table":
        emit_table(COLUMNS, [line.split("\t") for line in lines(rows, COLUMNS, "tsv")][1:])
    else:
        emit_lines(lines(rows, COLUMNS, kind))
    count.tell()
    if output:
        emit(output)
    if count.missing:
        raise MissingError(
            f"{len(count.missing):,} of the paths do not exist, as `{count.missing[0]}`",
            hint="check it with `ls`; the others are told",
        )


class Count:
    """How many images were looked at, how fast, and which could not be read."""

    def __init__(self) -> None:
        self.images, self.unusual, self.bad, self.missing = 0, 0, list[str](), list[Path]()
        self.started = time.monotonic()

    def over(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Pass rows on, and count them."""
        for row in rows:
            self.images += 1
            self.unusual += bool(row["unusual"])
            if row["cluster"] is None:
                self.bad.append(row["path"])
                warn(f"`{row['path']}` cannot be read")
            yield row

    def tell(self) -> None:
        """Say it; that there was nothing to look at is an error."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        if not self.images:
            raise MissingError("there are no images there", hint="files, directories, or -")
        if len(self.bad) == self.images > len(self.missing):
            raise InvalidError(f"none of {self.images:,} images can be read")
        say(
            f"{self.images:,} images in {seconds:.1f} s, {self.images / seconds:,.0f} images/s; "
            f"{self.unusual:,} unusual, {len(self.bad):,} unreadable"
        )


def _named(images: Iterable[Path], count: Count) -> "Iterator[Named]":
    from spice_cli.data.named import named_images

    def paths() -> Iterator[Path]:
        for each in (each for path in images for each in expanded(path)):
            if not there(each):
                count.missing.append(each)
            yield each

    return named_images(paths())


def there(path: Path) -> bool:
    """Tell whether a path exists; one that cannot be one does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def expanded(path: Path) -> Iterator[Path]:
    """Yield the path, or those on stdin."""
    if path != Path("-"):
        yield path
        return
    for line in map(os.fsdecode, sys.stdin.buffer):
        if name := line.rstrip("\r\n"):
            yield Path(name)
