import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.run.tensors import load
from spice_cli.stages.images import images_of
from spice_cli.track import Silent

Spice = Callable[..., Any]
COLUMNS = ["path", "cluster", "name", "confidence", "distance", "unusual"]


@pytest.fixture
def photos(finished: Path, tmp_path: Path) -> Path:
    """The run's first images as files."""
    images = images_of(Run.open(finished), Silent().say).images
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        pixels = images[number].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def table(text: str) -> list[dict[str, str]]:
    head, *rows = [line.split("\t") for line in text.splitlines()]
    assert head == COLUMNS
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_files_of_the_runs_own_images_are_where_the_run_put_them(
    spice: Spice, copied: Path, photos: Path
) -> None:
    result = spice("predict", photos, "-r", copied)
    rows = table(result.stdout)
    probs = Run.open(copied).read(Stage.SEMI, "probs")["probs"][:20]
    assert [int(row["cluster"]) for row in rows] == probs.argmax(1).tolist()
    found = np.array([float(row["confidence"]) for row in rows])
    np.testing.assert_allclose(found, probs.max(1).values.numpy(), atol=1e-4)
    assert [row["path"] for row in rows] == [str(photos / f"{i:02}.png") for i in range(20)]
    assert "20 images in" in result.stderr
    assert "images/s" in result.stderr


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_unusual_is_what_is_farther_than_that_share_of_the_training_images(
    spice: Spice, copied: Path, photos: Path, share: float
) -> None:
    rows = table(spice("predict", photos, "-r", copied, "--usual", share).stdout)
    limit = float(load(copied / "predict.safetensors").tensors["distances"].quantile(share))
    distances = [float(row["distance"]) for row in rows]
    assert [row["unusual"] for row in rows] == [str(d > limit).lower() for d in distances]
    assert {row["unusual"] for row in rows} == {"true", "false"}


def test_names_merges_and_splits_are_those_of_the_run(
    spice: Spice, copied: Path, photos: Path
) -> None:
    before = [int(row["cluster"]) for row in table(spice("predict", photos, "-r", copied).stdout)]
    first, second = sorted(set(before))[:2]
    spice("merge", first, second, "-r", copied)
    spice("name", first, "ones and sevens", "-r", copied)
    rows = table(spice("predict", photos, "-r", copied).stdout)
    expected = [first if cluster == second else cluster for cluster in before]
    assert [int(row["cluster"]) for row in rows] == expected
    names = {row["name"] for row in rows if int(row["cluster"]) == first}
    assert names == {"ones and sevens"}
    spice("split", first, "-r", copied)
    parts = [int(row["cluster"]) for row in table(spice("predict", photos, "-r", copied).stdout)]
    assert [c in (first, 10) for c in parts] == [c == first for c in expected]


@pytest.mark.parametrize("stage", ["embed", "self-label"])
def test_a_split_image_goes_to_the_part_it_went_to(
    spice: Spice, copied: Path, photos: Path, forget: Callable[..., Path], stage: str
) -> None:
    forget(copied, "semi", *(["select-reliable", "self-label"] if stage == "embed" else []))
    counts = json.loads(spice("split", 0, "--parts", 3, "-r", copied, "--json").stdout)
    assert counts
    rows = table(spice("predict", photos, "-r", copied).stdout)
    exported = spice("export", "--to", "csv", "-o", "all.csv", "-r", copied)
    assert exported.exit_code == 0
    lines = Path("all.csv").read_text().splitlines()[1:21]
    assert [row["cluster"] for row in rows] == [line.split(",")[1] for line in lines]


def test_unreadable_files_are_named_and_marked_and_the_others_predicted(
    spice: Spice, copied: Path, photos: Path
) -> None:
    (photos / "00.png").write_bytes(b"no picture")
    result = spice("predict", photos, "-r", copied, "--format", "jsonl")
    first, *rest = map(json.loads, result.stdout.splitlines())
    assert first == {**dict.fromkeys(COLUMNS), "path": str(photos / "00.png")}
    assert len(rest) == 19
    assert all(isinstance(row["cluster"], int) for row in rest)
    assert f"`{photos / '00.png'}` cannot be read" in result.stderr
    assert "1 unreadable" in result.stderr


def test_paths_come_from_stdin(spice: Spice, copied: Path, photos: Path) -> None:
    lines = f"{photos / '03.png'}\n\n{photos / '01.png'}\r\n{photos / 'gone.png'}\n"
    rows = table(spice("predict", "-", "-r", copied, input=lines, code=3).stdout)
    assert [Path(row["path"]).name for row in rows] == ["03.png", "01.png", "gone.png"]
    assert [row["cluster"] == "" for row in rows] == [False, False, True]


def test_every_format_says_the_same(spice: Spice, copied: Path, photos: Path) -> None:
    lines = spice("predict", photos, "-r", copied, "--format", "jsonl").stdout.splitlines()
    expected = [json.loads(line) for line in lines]
    out = spice("predict", photos, "-r", copied, "-o", "x.parquet").stdout
    assert out == "x.parquet\n"
    found = pq.read_table("x.parquet").to_pylist()
    assert [row["cluster"] for row in found] == [row["cluster"] for row in expected]
    csv = spice("predict", photos, "-r", copied, "--format", "csv").stdout.splitlines()
    assert csv[0] == ",".join(COLUMNS)
    people = spice("predict", photos, "-r", copied, "--format", "table").stdout.splitlines()
    assert people[0].split() == COLUMNS
    assert len(csv) == len(people) == 21


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("predict gone.png -r RUN", 3, "`gone.png` does not exist"),
        ("predict - -r -", 2, "cannot name both"),
        ("predict PHOTOS -r RUN --format parquet", 2, "--output predictions.parquet"),
        ("predict PHOTOS -r nowhere -o x.xlsx", 2, "hint: --output x.csv"),
        ("predict PHOTOS -r RUN -o x.csv --format table", 2, "not for files"),
        ("predict PHOTOS -r nowhere", 3, "spice pretrain digits"),
        ("predict EMPTY -r RUN", 3, "there are no images there"),
        ("predict BAD -r RUN", 4, "none of 1 images can be read"),
        ("predict PHOTOS -r RUN --usual 2", 2, "--usual"),
    ],
)
def test_what_cannot_be_ends_with_a_sentence(
    spice: Spice, copied: Path, photos: Path, line: str, code: int, said: str
) -> None:
    Path("EMPTY").mkdir()
    Path("BAD").mkdir()
    Path("BAD/x.png").write_bytes(b"x")
    words = {"RUN": copied, "PHOTOS": photos}
    args = [words.get(word, word) for word in line.split()]
    assert said in " ".join(spice(*args, code=code).stderr.split())


def test_a_path_that_is_gone_is_told_once_all_others_are(
    spice: Spice, copied: Path, photos: Path
) -> None:
    result = spice(
        "predict", photos / "03.png", "gone.jpg", photos / "04.png", "-r", copied, code=3
    )
    rows = table(result.stdout)
    assert [row["cluster"] == "" for row in rows] == [False, True, False]
    assert "1 of the paths do not exist, as `gone.jpg`" in result.stderr
    spice("predict", photos, "gone", "-r", copied, "-o", "x.csv", code=3)
    assert len(Path("x.csv").read_text().splitlines()) == 22
