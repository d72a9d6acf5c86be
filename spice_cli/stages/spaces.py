"""`--space RUN|FILE`: further features of the same images, made by other runs or programs."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from spice_cli.config.self_label import SelfLabel, Space
from spice_cli.errors import InvalidError, MissingError, UsageError
from spice_cli.heads.source import Wants
from spice_cli.run.files import sha256
from spice_cli.run.manifest import Data, Stage
from spice_cli.run.store import Run
from spice_cli.stages.arrays import embeddings_of


def resolve_spaces(config: SelfLabel, run: Run, wants: Wants) -> tuple[Space, ...]:
    """Return the spaces by absolute path, with the hash of what is there now.

    A space that changed is another config, so that the stage that read it is no longer up to date.

    Raises:
        UsageError: the method looks at no further spaces.
        MissingError: nothing is there, or a run without embeddings.
        InvalidError: a run on other images.
    """
    if config.spaces and not wants.spaces:
        raise UsageError(
            f"`{config.method}` looks at the embeddings alone, not at further spaces",
            hint="--method turtle",
        )
    return tuple(_resolve(Path(each.name).expanduser().resolve(), run) for each in config.spaces)


def load_spaces(spaces: Sequence[Space], run: Run) -> tuple[Tensor, ...]:
    """Read the unit rows (m, d_i) of every space, m being the number of images of `run`.

    Raises:
        MissingError, InvalidError: it is gone, changed, unreadable, or of another number of images.
    """
    return tuple(_load(Path(space.name), run) for space in spaces)


def _resolve(path: Path, run: Run) -> Space:
    if path.is_dir():
        return Space(name=str(path), sha256=_same_images(path, run).record(Stage.EMBED).sha256)
    if not path.is_file():
        raise MissingError(
            f"there is no run and no file at `{path}` to take features from",
            hint="`--space` takes a run that has `embed`, a `.npy` or a `.safetensors` file",
        )
    return Space(name=str(path), sha256=sha256(path))


def _load(path: Path, run: Run) -> Tensor:
    stored = (
        _same_images(path, run).read(Stage.EMBED, "embeddings")
        if path.is_dir()
        else embeddings_of(path)
    )
    rows, images = stored["embeddings"], run.manifest.data.train + run.manifest.data.test
    if len(rows) != images:
        raise InvalidError(f"`{path}` has features of {len(rows)} images, the run has {images}")
    return rows.float()


def _same_images(path: Path, run: Run) -> Run:
    """Open another run, which may have its images in another size, but no other images."""
    other = Run.open(path)
    ours, theirs = run.manifest.data, other.manifest.data
    known = ours.spec and theirs.spec
    same = not known or (ours.name == theirs.name and ours.bad == theirs.bad)
    if (ours.train, ours.test) != (theirs.train, theirs.test) or not same:
        raise InvalidError(
            f"`{path}` is a run on {_shown(theirs)}, this one is on {_shown(ours)}",
            hint="a `--space` holds features of the same images, in the same order",
        )
    return other


def _shown(data: Data) -> str:
    images = f"{data.train} + {data.test}" if data.test else str(data.train)
    return f"`{data.name}` ({images} images)"
