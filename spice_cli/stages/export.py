"""The clusters of a run, for other programs: tables, folders of links, labels for training."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spice_cli.catalog import DATASETS
from spice_cli.data.decode import dimensions
from spice_cli.data.root import root_of
from spice_cli.errors import InvalidError, UsageError
from spice_cli.run.files import naming, write_text
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import newest
from spice_cli.stages.export_names import folder_names, unique
from spice_cli.stages.images import images_of
from spice_cli.stages.place import How, place
from spice_cli.stages.placed import Placed, placed
from spice_cli.track import Track

COLUMNS = ("path", "cluster", "name", "confidence")


@dataclass(frozen=True)
class Labelled:
    """All images of a run, in the order of its data set, and their clusters."""

    found: Placed
    paths: tuple[str, ...]
    """Below `root`; where the images are not files, the number of their row."""
    files: tuple[Path, ...] | None
    """None where the images are not files that lie in a directory."""
    side: int | None
    """Of the images as the run sees them, in pixels."""

    def titles(self) -> dict[int, str]:
        """Return what to call each cluster that has images: its name, or its number."""
        present = sorted(set(self.found.cluster.tolist()))
        return {c: self.found.names.get(c) or f"cluster {c}" for c in present}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row an image."""
        found = self.found
        columns = (found.cluster.tolist(), found.confidence.tolist())
        for path, cluster, confidence in zip(self.paths, *columns, strict=True):
            yield {
                "path": path,
                "cluster": cluster,
                "name": found.names.get(cluster, ""),
                "confidence": round(confidence, 6),
            }


def labelled(run: Run, stage: Stage | None, clusters: int | None, track: Track) -> Labelled:
    """Read the clusters of all images; errors as in `placed` and `images_of`."""
    data = run.manifest.data
    found = placed(run, stage or newest(run), clusters)
    loaded = images_of(run, track.say) if data.spec is not None else None
    if loaded is None or loaded.paths is None:
        return Labelled(found, tuple(map(str, range(len(found.cluster)))), None, data.size)
    assert data.spec is not None
    root = root_of(data.spec) if data.name in DATASETS else Path(data.name)
    files = tuple(root / path for path in loaded.paths) if root.is_dir() else None
    lie = files is not None and files[0].is_file()
    return Labelled(found, loaded.paths, files if lie else None, data.size)


def to_folders(labelled: Labelled, output: Path, how: How) -> int:
    """Make a folder a cluster, with all its images by link or copy; return how many there are.

    The originals are neither moved nor changed. Names that cannot be those of files are spelt
    otherwise, and two images of one name in a cluster get numbers.

    Raises:
        UsageError: the images are not files, or `output` is not empty or lies among them.
        InvalidError: an image is gone, or no such link can be made there.
    """
    files, found = _files(labelled, output), labelled.found
    folders = folder_names(labelled.titles())
    taken: dict[int, set[str]] = {cluster: set() for cluster in folders}
    for folder in folders.values():
        with naming(output / folder):
            (output / folder).mkdir(parents=True)
    for file, cluster in zip(files, found.cluster.tolist(), strict=True):
        place(file, output / folders[cluster] / unique(file.name, taken[cluster]), how)
    return len(files)


def to_coco(labelled: Labelled, output: Path) -> int:
    """Write COCO's JSON with one annotation an image: a category and a score, but no box.

    https://cocodataset.org/#format-data. Widths and heights are those of the files as they lie,
    before any rotation; of unreadable ones, and of images that are no files, the run's own.
    """
    found, titles = labelled.found, labelled.titles()
    images, annotations = [], []
    columns = (found.cluster.tolist(), found.confidence.tolist())
    for number, (path, cluster, sure) in enumerate(zip(labelled.paths, *columns, strict=True)):
        width, height = _size(labelled, number)
        images.append({"id": number, "file_name": path, "width": width, "height": height})
        annotations.append(
            {"id": number, "image_id": number, "category_id": cluster, "score": round(sure, 6)}
        )
    categories = [{"id": c, "name": title, "supercategory": ""} for c, title in titles.items()]
    whole = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
    write_text(output, json.dumps({**whole, "categories": categories}) + "\n")
    return len(images)


def to_fiftyone(labelled: Labelled, output: Path, how: How) -> int:
    """Write what FiftyOne reads as a `FiftyOneImageClassificationDataset`.

    `data/` holds the images by link or copy, each under a name of its own; `labels.json` the
    classes, and the place of its class in them by each file's name without its ending. Errors as in
    `to_folders`. https://docs.voxel51.com/user_guide/import_datasets.html
    """
    files, titles = _files(labelled, output), labelled.titles()
    places = {cluster: place for place, cluster in enumerate(titles)}
    digits = len(str(len(files)))
    labels = {}
    with naming(output):
        (output / "data").mkdir(parents=True)
    clusters = labelled.found.cluster.tolist()
    for number, (file, cluster) in enumerate(zip(files, clusters, strict=True)):
        name = f"{number:0{digits}}-{file.stem}"
        place(file, output / "data" / f"{name}{file.suffix}", how)
        labels[name] = places[cluster]
    classes = list(titles.values())
    write_text(
        output / "labels.json", json.dumps({"classes": classes, "labels": labels}, indent=1) + "\n"
    )
    return len(files)


def _files(labelled: Labelled, output: Path) -> tuple[Path, ...]:
    files = labelled.files
    if files is None:
        raise UsageError(
            "the images of this run are not files in a directory, so there is nothing to link",
            hint="--to csv",
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"`{output}` is there already and not empty", hint="--output ELSEWHERE")
    among = {parent for file in files for parent in file.parents}
    if output.resolve() in among:
        raise UsageError(f"`{output}` is where the images are", hint="--output ELSEWHERE")
    if gone := next((file for file in files if not file.is_file()), None):
        raise InvalidError(f"`{gone}` is gone, which the run was made of")
    return files


def _size(labelled: Labelled, number: int) -> tuple[int | None, int | None]:
    if labelled.files is not None:
        try:
            return dimensions(labelled.files[number])
        except Exception:  # Pillow raises nearly anything on a corrupt file
            pass
    return labelled.side, labelled.side
