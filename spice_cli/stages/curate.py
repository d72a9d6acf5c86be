"""Merging, splitting and naming the clusters of a finished run."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from spice_cli.errors import UsageError
from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.linkage import Step, average_linkage
from spice_cli.run.curation import (
    Curation,
    Edit,
    Merge,
    Split,
    load_curation,
    only_others,
    save_curation,
)
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import Assignments, assignments, newest

LONGEST = 200
"""Of a name, in characters."""


def name(run: Run, cluster: int, title: str) -> None:
    """Give a cluster a name, or with an empty one take it away.

    Ends of lines, tabs and what cannot be printed become spaces; a name that another cluster has,
    or that is too long, is a UsageError.
    """
    curation, found = _open(run)
    there(found, [cluster])
    given = _printable(title)
    if title and not given:
        raise UsageError("a name must have something to print in it", hint='spice name 3 "red"')
    if len(given) > LONGEST:
        raise UsageError(f"a name has at most {LONGEST} characters, not {len(given)}")
    names = {id: text for id, text in curation.names.items() if id != cluster}
    if given and given in names.values():
        other = next(id for id, text in names.items() if text == given)
        raise UsageError(
            f"cluster {other} has that name already",
            hint=f"if they are the same: spice merge {other} {cluster}",
        )
    if given:
        names[cluster] = given
    save_curation(run.path, curation.model_copy(update={"names": dict(sorted(names.items()))}))


def merge(run: Run, clusters: Sequence[int]) -> None:
    """Make one cluster of several; it keeps the first one's number and name."""
    curation, found = _open(run)
    there(found, clusters)
    if len(set(clusters)) < 2:
        cluster = clusters[0]
        other = next((each for each in found.cluster.tolist() if each != cluster), None)
        raise UsageError(
            "there must be at least two clusters to merge",
            hint="" if other is None else f"spice merge {cluster} {other}",
        )
    save_curation(run.path, _merged(curation, clusters))


def split(run: Run, cluster: int, parts: int, *, seed: int = 0) -> list[int]:
    """Divide a cluster by spherical k-means on its embeddings; return the parts' numbers."""
    curation, found = _open(run)
    there(found, [cluster])
    rows = found.rows[found.cluster == cluster]
    if len(rows) < parts:
        raise UsageError(f"cluster {cluster} has {len(rows)} images, too few for {parts} parts")
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"][rows].float()
    generator = torch.Generator().manual_seed(seed)
    centers = F.normalize(kmeans(embeddings, parts, generator=generator).centers, dim=1)
    numbers = [cluster, *range(found.clusters, found.clusters + parts - 1)]
    rounded = [[round(float(value), 6) for value in center] for center in centers]
    edit = Split(cluster=cluster, parts=tuple(numbers), centers=tuple(map(tuple, rounded)))
    save_curation(run.path, curation.model_copy(update={"edits": (*curation.edits, edit)}))
    return numbers


def undo(run: Run) -> Edit:
    """Take back the last merge or split."""
    curation, _ = _open(run)
    if not curation.edits:
        raise UsageError(f"nothing was merged or split in `{run.path}`")
    last = curation.edits[-1]
    gone = set(last.parts[1:]) if isinstance(last, Split) else set()
    update = {
        "edits": curation.edits[:-1],
        "names": {id: text for id, text in curation.names.items() if id not in gone},
    }
    save_curation(run.path, curation.model_copy(update=update))
    return last


def tree(run: Run) -> list[Step]:
    """Return in which order the clusters merge by average linkage, down to one."""
    _, found = _open(run)
    embeddings = run.read(Stage.EMBED, "embeddings")["embeddings"][found.rows]
    return average_linkage(embeddings, found.cluster)


def merge_to(run: Run, clusters: int) -> list[tuple[int, ...]]:
    """Merge the most alike until so many clusters are left; return what was merged, in order.

    All that become one cluster are one edit.
    """
    steps = tree(run)
    if clusters > len(steps) + 1:
        raise UsageError(f"there are only {len(steps) + 1} clusters, fewer than {clusters}")
    groups: dict[int, tuple[int, ...]] = {}
    for step in steps[: len(steps) + 1 - clusters]:
        groups = {k: v for k, v in groups.items() if k not in step.groups}
        groups[step.groups[0]] = step.groups
    curation, _ = _open(run)
    for group in groups.values():
        curation = _merged(curation, group)
    save_curation(run.path, curation)
    return list(groups.values())


def sizes(run: Run) -> dict[int, int]:
    """Return the number of images of each cluster that has any."""
    counts = torch.bincount(_open(run)[1].cluster)
    return {cluster: size for cluster, size in enumerate(counts.tolist()) if size}


def names(run: Run) -> dict[int, str]:
    """Return the names given to the clusters of the furthest stage."""
    return dict(load_curation(run.path, run.record(newest(run)).sha256).names)


def spoken(clusters: Sequence[int], names: Mapping[int, str]) -> str:
    """List clusters by number, those that have one with their name."""
    return ", ".join(f"{each} `{names[each]}`" if each in names else str(each) for each in clusters)


def older(run: Run) -> str:
    """Say that what was decided is about an older result, if all of it is; else nothing."""
    stage = newest(run)
    if not only_others(run.path, run.record(stage).sha256):
        return ""
    return f"names, merges and splits of an older result are not those of this `{stage}`'s clusters"


def there(found: Assignments, clusters: Sequence[int]) -> None:
    """Raise UsageError unless all these clusters have images."""
    sizes = torch.bincount(found.cluster, minlength=found.clusters)
    known = sizes.nonzero()[:, 0].tolist()
    if missing := [each for each in clusters if each not in known]:
        listed = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
        raise UsageError(f"there is no cluster {missing[0]}", hint=f"there are {listed}")


def _open(run: Run) -> tuple[Curation, Assignments]:
    stage = newest(run)
    found = assignments(run, stage, None)
    return load_curation(run.path, run.record(stage).sha256), found


def _merged(curation: Curation, clusters: Sequence[int]) -> Curation:
    edit = Merge(clusters=tuple(dict.fromkeys(clusters)))
    gone = set(edit.clusters[1:])
    names = {id: text for id, text in curation.names.items() if id not in gone}
    return curation.model_copy(update={"edits": (*curation.edits, edit), "names": names})


def _printable(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
