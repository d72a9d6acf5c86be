"""The file that a finished stage left: where it is, and whether it is what its record says.

While a stage is written anew, the file before is set aside until the manifest speaks of the new
one. So whenever the writer is killed, the file that the manifest speaks of is there.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spice_cli.errors import InvalidError
from spice_cli.run import files
from spice_cli.run.manifest import Manifest, Record, Stage
from spice_cli.run.redo import Redo, log_file, mark_file
from spice_cli.run.schema import check_specs
from spice_cli.run.seal import MANIFEST, SPARE

if TYPE_CHECKING:
    from torch import Tensor


def artifact_file(run: Path, stage: Stage) -> Path:
    """Name the file that a stage leaves."""
    return run / f"{stage}.safetensors"


def checkpoint_file(run: Path, stage: Stage) -> Path:
    """Name the file that holds an unfinished stage."""
    return run / f"{stage}.checkpoint.safetensors"


def rows_folder(run: Path, stage: Stage) -> Path:
    """Name the directory of the rows that an unfinished stage has so far."""
    return run / f"{stage}.checkpoint.rows"


def aside(file: Path) -> Path:
    """Name the place where a file waits while a new one takes its place."""
    return file.with_name(f"{file.name}.previous")


def locate(run: Path, record: Record) -> Path:
    """Find the file of a record: where a writer was killed half-way, the one set aside.

    Raises:
        InvalidError: one of them is a link, or no regular file.
    """
    file = run / record.file
    previous = aside(file)
    for each in (file, previous):
        files.check_inside(each)
    old = previous.is_file() and files.sha256(previous) == record.sha256
    return previous if old else file


def settle(run: Path, manifest: Manifest) -> None:
    """Bring back what a killed writer had set aside, and clear away what else it left.

    Only for who holds the lock.
    """
    for record in manifest.stages.values():
        file = run / record.file
        if (previous := locate(run, record)) != file:
            with files.naming(file):
                previous.replace(file)
        files.remove(aside(file))
    for stage, record in manifest.stages.items():
        Redo(run, stage, record).settle()
    named = (artifact_file, checkpoint_file, mark_file, log_file)
    written = [run / f"{stage}.jsonl" for stage in Stage]
    written += [name(run, stage) for stage in Stage for name in named]
    for file in (run / MANIFEST, run / SPARE, *written):
        files.remove(files.partial(file))


def load_artifact(
    file: Path, stage: Stage, record: Record, *, axes: Mapping[str, int], names: Collection[str]
) -> "dict[str, Tensor]":
    """Load a stage's tensors, or only those named, once every byte of the file is verified.

    Raises:
        InvalidError: the file is gone or changed, or not as the manifest or the schema say.
    """
    from spice_cli.run.tensors import load
    from spice_cli.run.values import check_values

    if not file.is_file():
        raise InvalidError(f"`{file}`, which `{stage}` wrote, is gone")
    not_it = f"`{file}` is not the file that `{stage}` wrote"
    if (size := file.stat().st_size) != record.size:
        raise InvalidError(f"{not_it}: it has {size} bytes, not {record.size}")
    try:
        loaded = load(file, names)
    except InvalidError as error:
        raise InvalidError(f"{not_it}: its header changed") from error
    if loaded.sha256 != record.sha256:
        raise InvalidError(f"{not_it}: its contents changed")
    for name in {**record.tensors, **loaded.specs}:
        if record.tensors.get(name) != loaded.specs.get(name):
            raise InvalidError(f"tensor `{name}` in `{file}` is not as `{MANIFEST}` describes it")
    try:
        sizes = check_specs(stage, loaded.specs, axes=axes, imported=record.imported)
        check_values(stage, loaded.tensors, sizes)
    except InvalidError as error:
        raise InvalidError(f"`{file}`: {error}") from error
    return loaded.tensors
