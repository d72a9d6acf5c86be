from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spice_cli.commands.locate import locate
from spice_cli.commands.options import ClustersOption, RunOption, one_of
from spice_cli.console import Terminal, emit, say, warn

if TYPE_CHECKING:
    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run

KINDS = ("folders", "csv", "parquet", "coco", "fiftyone", "onnx", "program")
SHOWN = ("embed", "self-label", "semi", "ask")


def export(
    to: Annotated[
        str,
        one_of(
            KINDS,
            "--to",
            help="folders: one a cluster; csv, parquet: path, cluster, name, confidence; coco, "
            "fiftyone: labels for training; onnx, program (of torch.export): the network.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="The file or folder to write.")
    ],
    run: RunOption = None,
    how: Annotated[
        str,
        one_of(
            ["symlink", "hardlink", "copy"],
            "--how",
            help="How images get into folders. The originals stay where and as they are.",
        ),
    ] = "symlink",
    stage: Annotated[
        str | None, one_of(SHOWN, "--stage", help="Whose clusters. Default: the furthest.")
    ] = None,
    clusters: ClustersOption = None,
) -> None:
    """Write the clusters or the network for other programs: sorted folders, labels, ONNX.

    All images of the run are written, those that were trained on and those that were not, with the
    names, merges and splits that you made. A network takes RGB pixels in 0 to 1, resized as the
    run's images are, as `pixels` (batch, 3, side, side), and says `probs`, `embedding` and
    `cluster`; it is compared with ours on images of the run before it is written.
    """
    path = locate(run)

    from spice_cli.run.manifest import Stage
    from spice_cli.run.store import Run

    opened = Run.open(path)
    of = Stage(stage) if stage else None
    if to in ("onnx", "program"):
        _network(opened, of, clusters, to, output)
    else:
        _labels(opened, of, clusters, to, output, how)
    emit(output)


def _labels(
    run: "Run", stage: "Stage | None", clusters: int | None, to: str, output: Path, how: str
) -> None:
    from spice_cli.stages import export
    from spice_cli.stages.image_rows import write

    found = export.labelled(run, stage, clusters, Terminal())
    if to == "folders":
        export.to_folders(found, output, how)  # type: ignore[arg-type]
    elif to == "fiftyone":
        export.to_fiftyone(found, output, how)  # type: ignore[arg-type]
    elif to == "coco":
        export.to_coco(found, output)
    else:
        write(output, found.rows(), export.COLUMNS, to)
    say(f"wrote {len(found.paths):,} images in {len(found.titles())} clusters to {output}")


def _network(
    run: "Run", stage: "Stage | None", clusters: int | None, to: str, output: Path
) -> None:
    from spice_cli.stages.assignments import newest
    from spice_cli.stages.export_model import to_onnx, to_program
    from spice_cli.stages.exported import exported
    from spice_cli.stages.placed import curation_of

    say("exporting the network and comparing it with ours, which may take a minute")
    module, track = exported(run, stage, clusters), Terminal()
    if to == "program":
        found: float | None = to_program(run, module, output, track)
    else:
        names = curation_of(run, stage or newest(run), clusters).names
        found = to_onnx(run, module, output, names, track)
    if found is None:
        warn("not compared with ours, for which onnxruntime is needed: pip install onnxruntime")
    else:
        say(f"wrote {output}: it differs from ours by {found:.1e} at most, on up to 256 images")
