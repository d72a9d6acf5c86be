"""The images of a run, loaded once a process and checked against its manifest."""

from collections.abc import Callable

import torch
from torch import Tensor

from spice_cli.catalog import DATASETS
from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, fingerprint
from spice_cli.data.encoded import READING
from spice_cli.data.load import load
from spice_cli.errors import InvalidError, MissingError
from spice_cli.ops.hardware import free_memory
from spice_cli.ops.residence import fits
from spice_cli.run.manifest import Data
from spice_cli.run.store import Run

_loaded: dict[DataSpec, tuple[Dataset, str]] = {}


def load_once(spec: DataSpec, say: Callable[[str], None]) -> tuple[Dataset, str]:
    """Return a data set and the fingerprint of its images."""
    if spec not in _loaded:
        _loaded.clear()
        data = load(spec, say)
        _loaded[spec] = data, data.mark or fingerprint(data.everything)
    return _loaded[spec]


def forget() -> None:
    """Let go of the images that are in memory; where they come from they may be others by now."""
    _loaded.clear()


def describe(spec: DataSpec, say: Callable[[str], None]) -> Data:
    """Return what a manifest records of a data set."""
    data, mark = load_once(spec, say)
    return Data(
        spec=spec,
        name=spec.name,
        train=data.train,
        test=data.n - data.train,
        unlabelled=data.unlabelled,
        size=data.images.shape[-1],
        classes=data.classes,
        bad=data.bad,
        fingerprint=mark,
    )


def spec_of(run: Run) -> DataSpec:
    """Return which images the run is about; for one without any it is a `MissingError`."""
    if run.manifest.data.spec is None:
        raise MissingError(
            f"`{run.path}` began with embeddings and has no images",
            hint="start a run from images: `spice pretrain DATASET`",
        )
    return run.manifest.data.spec


def images_of(run: Run, say: Callable[[str], None]) -> Dataset:
    """Return the run's data set; other images than it began with are an `InvalidError`.

    What was said of its files where the run began is said again only if they are decoded again.
    """
    data, spec = run.manifest.data, spec_of(run)
    found, mark = load_once(spec, say if spec.name in DATASETS else _again(say))
    if mark != data.fingerprint:
        raise InvalidError(
            f"the images of `{data.name}` are not those that `{run.path}` began with",
            hint="start another run: `--run PATH`",
        )
    return found


def _again(say: Callable[[str], None]) -> Callable[[str], None]:
    held: list[str] | None = []

    def told(text: str) -> None:
        nonlocal held
        if held is not None and not text.startswith(READING):
            held.append(text)
            return
        for each in (*(held or ()), text):
            say(each)
        held = None

    return told


def pretraining_images(
    run: Run, device: torch.device, say: Callable[[str], None]
) -> tuple[Tensor, Tensor]:
    """Return the images (u + train) that pretraining sees, and those (n) that every stage sees.

    Both are uint8 (., 3, h, w) views of one tensor, on the device if they fit: the u unlabelled
    images, the training images, then the test images. Errors as in `images_of`.
    """
    data = images_of(run, say)
    pixels = settled(data.everything, device, say)
    return pixels[: data.unlabelled + data.train], pixels[data.unlabelled :]


def settled(images: Tensor, device: torch.device, say: Callable[[str], None]) -> Tensor:
    """Return images (n, 3, h, w) on the device; where they are, if it has not twice the room.

    What reads them takes batches by `ops/residence.py`, which knows both.
    """
    if device.type == "cpu":
        return images.to(device)
    free = free_memory(device)
    if fits(images.nbytes, free):
        return images.to(device)
    say(
        f"the images, {images.nbytes / 2**30:.2f} GiB, stay in memory and come batch by batch: "
        f"{device} has {free / 2**30:.2f} GiB free"
    )
    return images
