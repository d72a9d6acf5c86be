"""How many clusters a run's features have: estimated once, with its curve, and kept in the run."""

from typing import Any

import torch
from pydantic import ValidationError

from spice_cli.config.frozen import Frozen
from spice_cli.errors import InvalidError, SpiceError
from spice_cli.json_text import read_json
from spice_cli.ops.count import Curve, candidates, count, steps
from spice_cli.run import files
from spice_cli.run.manifest import Sha256, Stage
from spice_cli.run.store import Run
from spice_cli.track import Track

FILE = "clusters.json"
FEWEST = 20
"""Images that anything can be said of."""
WIDE = 0.4
"""Width of a range, as a share of the estimate, from which it is called wide; two always pass."""
Told = tuple[tuple[float, float], ...]


class Counted(Frozen):
    """An estimate of the number of clusters; the fields of `Curve`, and what it was made of."""

    features: Sha256
    """Of the file that `embed` left."""
    seed: int
    most: int | None
    """The largest number asked to be tried."""
    clusters: tuple[int, ...]
    silhouette: Told
    strength: Told
    cloud: tuple[float, ...]
    cloud_strength: tuple[float, ...]
    best: int
    least: int
    largest: int
    evident: bool

    @property
    def wide(self) -> bool:
        """Whether the estimate is not to be trusted much."""
        return self.largest - self.least > max(2.0, WIDE * self.best)

    @property
    def taken(self) -> int:
        """How many to go on with: the estimate; without evidence twice that, to be merged."""
        return self.best if self.evident else 2 * self.best


def count_clusters(
    run: Run, *, seed: int, most: int | None, device: torch.device, track: Track
) -> Counted:
    """Return the estimate that the run keeps, or make it from the training images' embeddings.

    The caller holds the run's lock.

    Raises:
        MissingError: there are no embeddings.
        InvalidError: they are stale or damaged, or of too few images.
    """
    record = run.record(Stage.EMBED)
    kept = read_counted(run)
    if kept and (kept.features, kept.seed, kept.most) == (record.sha256, seed, most):
        return kept
    train = run.manifest.data.train
    if train < FEWEST:
        raise InvalidError(
            f"{train} images are too few to say how many clusters they are",
            hint="name a number: `--clusters K`",
        )
    rows = run.read(Stage.EMBED, "embeddings")["embeddings"][:train].float().to(device)
    tried = candidates(train, most)
    generator = torch.Generator(device).manual_seed(seed)
    with track.bar("clusters", steps(tried), unit="clusterings") as bar:
        curve = count(rows, generator, tried=tried, progress=bar.advance)
    found = _counted(curve, record.sha256, seed, most)
    files.write_text(run.path / FILE, found.model_dump_json(indent=2) + "\n")
    return found


def read_counted(run: Run) -> Counted | None:
    """Return the estimate that the run keeps; none where there is none that can be read."""
    try:
        return Counted.model_validate(read_json(run.path / FILE))
    except (SpiceError, ValidationError):
        return None


def summary(found: Counted) -> list[str]:
    """Say what was found in sentences, and what to do where it is not certain."""
    place = found.clusters.index(found.best)
    measured = (
        f"silhouette {found.silhouette[place][0]:.2f}, {found.cloud[place]:.2f} of a cloud without "
        f"clusters; prediction strength {found.strength[place][0]:.2f}, of the cloud "
        f"{found.cloud_strength[place]:.2f}"
    )
    if not found.evident:
        return [
            f"no evidence of clusters: of {found.clusters[0]} to {found.clusters[-1]}, "
            f"{found.best} is least unlikely ({measured})"
        ]
    lines = [f"about {found.best} clusters, {found.least} to {found.largest} ({measured})"]
    if found.best == found.clusters[-1]:
        lines.append(f"that is the most that was tried: `--most {4 * found.best}` tries more")
    if found.wide:
        lines.append(
            f"the range is wide: rather take too many (`--clusters {2 * found.best}`) and merge "
            "what belongs together (`spice merge --tree` shows in which order)"
        )
    return lines


def unevident(found: Counted) -> str:
    """Say what is done, and what to do, where the features show no number of clusters."""
    return (
        f"the features show no clusters, so {found.taken} are taken, twice the least unlikely "
        "number: merge what belongs together (`spice merge --tree` shows in which order), or name "
        "a number, as in `--clusters 12`"
    )


def _counted(curve: Curve, features: str, seed: int, most: int | None) -> Counted:
    values: dict[str, Any] = dict(vars(curve))
    largest = values.pop("most")
    return Counted(features=features, seed=seed, most=most, largest=largest, **values)
