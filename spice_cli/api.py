"""Clustering from Python, by the stages of the command line: `from spice_cli import cluster`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from spice_cli.api_plan import Plan, Settings, Until
from spice_cli.catalog import PRETRAINED, STAGES
from spice_cli.data.load import resolve
from spice_cli.errors import UsageError
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import data_spec
from spice_cli.settings.recipes import last_stage, read_recipe
from spice_cli.stages.arrays import describe_embeddings
from spice_cli.stages.given import Images, Stored, stored
from spice_cli.stages.images import describe, forget, images_of
from spice_cli.stages.placed import placed
from spice_cli.track import Silent, Track


@dataclass(frozen=True)
class Result:
    """The clusters of n images."""

    labels: np.ndarray
    """(n,) int64, 0 to k - 1."""
    probs: np.ndarray
    """(n, k) float32."""
    embeddings: np.ndarray
    """(n, d) float32 unit rows."""
    confidence: np.ndarray
    """(n,) float32, the probability of each label."""
    paths: tuple[str, ...] | None
    """What each image is called; None where images have no names, as those of an array."""
    bad: tuple[str, ...]
    """Images that could not be read: none of the n is one of them."""
    run: Path | None
    """The run's directory; None where it was a temporary one, which is gone."""


def cluster(
    images: Images,
    clusters: int | Literal["auto"] = 10,
    *,
    seed: int = 0,
    method: str | None = None,
    backbone: str | None = None,
    recipe: str | None = None,
    settings: Settings | None = None,
    minutes: float | None = None,
    until: Until | None = None,
    size: int | None = None,
    run: str | Path | None = None,
    device: str = "auto",
    track: Track | None = None,
) -> Result:
    """Cluster images, or embeddings of them, without labels.

    Args:
        images: (n, h, w), (n, h, w, c) or (n, c, h, w), uint8 or floats in 0 to 1; or embeddings
            (n, d); or a list of image files; or what `spice run` takes: a directory, a file, the
            name of a data set. Files that cannot be read are left out, and are in `Result.bad`.
        clusters: how many to find; `auto`: as `spice run --clusters auto` estimates it.
        seed: the same seed gives the same clusters on the same device.
        method: of the head, as `spice self-label --method`; default: the recipe's, else `spice`.
        backbone: as `spice pretrain --backbone`, or a network that others trained, as
            `spice embed --backbone`; then nothing is pretrained.
        recipe: settings, by name or file, as `spice run --recipe`.
        settings: further ones by stage, as in `{"pretrain": {"epochs": 50}}`. Without any and
            without a recipe, those for images are picked as `spice run` picks them.
        minutes: what they are picked for; default: as `spice run`.
        until: the last stage; default: `semi`, or `self-label` of embeddings, of a network that
            others trained, and of few images whose settings are picked.
        size: side in pixels that images are resized to.
        run: the directory to keep the run in; a stage that is up to date there is not repeated.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        track: told what is going on; default: nothing is.

    Raises:
        SpiceError: what `spice` would say; its `hint` is the way out.
    """
    track = track or Silent()
    if until not in (None, "self-label", "semi"):
        raise UsageError(f"`until` is `{until}`, neither `self-label` nor `semi`")
    if unknown := [stage for stage in settings or {} if stage not in STAGES]:
        raise UsageError(f"`{unknown[0]}` is not a stage; there are {', '.join(STAGES)}")
    trained = backbone is not None and backbone.partition("/")[0] in PRETRAINED
    count = None if clusters == "auto" else clusters
    plan = Plan(count, method, backbone, trained, settings or {}, until, minutes, device, track)
    given, end = (read_recipe(recipe), last_stage(recipe)) if recipe else ({}, None)
    if until is None and end not in (None, "self-label", "semi"):
        raise UsageError(
            f"recipe `{recipe}` ends with `{end}`, which puts no image into a cluster",
            hint='until="self-label"',
        )
    data = {key: value for key, value in given.pop("data", {}).items() if key != "name"}
    forget()
    with _directory(run) as path:
        source = stored(images, path, size, track)
        if source.file.suffix == ".npy":
            described = describe_embeddings(source.file)
        else:
            named = {"name": resolve(str(source.file)), "size": size}
            described = describe(data_spec(data, named), track.say)
        kept = Recipe(name=recipe or "defaults", sections=given, until=end)
        opened = Run.create(path, described, kept, seed)
        opened.change(recipe=kept if recipe else None, seed=seed)
        with opened.lock():
            last = plan.complete(opened, source.file)
        return _result(opened, last, source, path if run is not None else None)


def _result(run: Run, stage: Stage, source: Stored, path: Path | None) -> Result:
    found, paths = placed(run, stage), source.paths
    if paths is None and run.manifest.data.spec is not None:
        paths = images_of(run, Silent().say).paths
    return Result(
        labels=found.cluster.numpy(),
        probs=run.read(stage, "probs")["probs"].float().numpy(),
        embeddings=run.read(Stage.EMBED, "embeddings")["embeddings"].float().numpy(),
        confidence=found.confidence.numpy(),
        paths=paths,
        bad=source.bad or run.manifest.data.bad,
        run=path,
    )


@contextmanager
def _directory(run: str | Path | None) -> Iterator[Path]:
    """Give the directory of the run: the one named, else one that is gone afterwards."""
    if run is not None:
        yield Path(run).expanduser().resolve()
        return
    with TemporaryDirectory(prefix="spice-") as folder:
        yield Path(folder) / "run"
