import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.exported import CPU
from spice_cli.stages.images import images_of
from spice_cli.stages.restored import model_of
from spice_cli.track import Silent

Spice = Callable[..., Any]


@pytest.fixture(scope="session")
def folder_run(
    tmp_path_factory: pytest.TempPathFactory, spice: Spice, tiny: Path, finished: Path
) -> Path:
    """A run on 90 files in two directories, some of one name, clustered into three."""
    base = tmp_path_factory.mktemp("exported")
    images = images_of(Run.open(finished), Silent().say).images
    for number in range(90):
        folder = base / "photos" / ("a" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = images[number].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).resize((9, 8)).save(folder / f"{number // 2:02}.png")
    small = ["--set", "pretrain.batch_size=30", "--set", "pretrain.epochs=1"]
    command = ["run", base / "photos", "-r", base / "run", "--recipe", tiny, "-k", 3, *small]
    spice(*command, "--size", 8, "--until", "self-label")
    spice("name", int(clusters(base / "run")[0]), "odd/ones", "-r", base / "run")
    return base


def clusters(run: Path) -> np.ndarray:
    return Run.open(run).read(Stage.SELF_LABEL, "probs")["probs"].argmax(1).numpy()


def paths(base: Path) -> list[str]:
    return [str(f.relative_to(base / "photos")) for f in sorted((base / "photos").rglob("*.png"))]


@pytest.mark.parametrize("how", ["symlink", "hardlink", "copy"])
def test_folders_hold_each_image_once_under_its_cluster_and_originals_stay(
    spice: Spice, folder_run: Path, tmp_path: Path, how: str
) -> None:
    before = {file: file.read_bytes() for file in (folder_run / "photos").rglob("*.png")}
    spice("export", "--to", "folders", "-o", "out", "--how", how, "-r", folder_run / "run")
    assert {file: file.read_bytes() for file in (folder_run / "photos").rglob("*.png")} == before
    found = sorted(Path("out").rglob("*.png"))
    assert len(found) == 90
    named = clusters(folder_run / "run")
    sizes = {folder.name: len(list(folder.iterdir())) for folder in Path("out").iterdir()}
    first = int(named[0])
    expected = {f"cluster {c}": int((named == c).sum()) for c in set(named.tolist()) - {first}}
    assert sizes == {**expected, "odd_ones": int((named == first).sum())}
    assert all(file.is_symlink() == (how == "symlink") for file in found)
    originals = {file.stat().st_ino for file in before}
    same = [file.stat().st_ino in originals for file in found]
    assert all(same) if how != "copy" else not any(same)
    assert sorted(file.read_bytes() for file in found) == sorted(before.values())


def test_two_images_of_one_name_in_a_cluster_are_both_there(spice: Spice, folder_run: Path) -> None:
    spice("export", "--to", "folders", "-o", "out", "-r", folder_run / "run")
    links = {file.readlink() for file in Path("out").rglob("*.png")}
    assert len(links) == 90
    assert any("(2)" in file.name for file in Path("out").rglob("*.png"))


@pytest.mark.parametrize("to", ["folders", "fiftyone"])
def test_nothing_is_ever_written_over(spice: Spice, folder_run: Path, to: str) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("keep")
    command = ["export", "--to", to, "-r", folder_run / "run"]
    assert "not empty" in spice(*command, "-o", "out", code=2).stderr
    assert "not empty" in spice(*command, "-o", "out/mine.txt", code=2).stderr
    assert "not empty" in spice(*command, "-o", folder_run / "photos", code=2).stderr
    assert Path("out/mine.txt").read_text() == "keep"


def test_tables_name_every_image_its_cluster_and_how_sure(spice: Spice, folder_run: Path) -> None:
    run = folder_run / "run"
    spice("export", "--to", "csv", "-o", "x.csv", "-r", run)
    spice("export", "--to", "parquet", "-o", "x.parquet", "-r", run)
    rows = pq.read_table("x.parquet").to_pylist()
    assert [row["path"] for row in rows] == paths(folder_run)
    assert [row["cluster"] for row in rows] == clusters(run).tolist()
    sure = Run.open(run).read(Stage.SELF_LABEL, "probs")["probs"].max(1).values
    np.testing.assert_allclose([row["confidence"] for row in rows], sure, atol=1e-6)
    lines = Path("x.csv").read_text().splitlines()
    assert lines[0] == "path,cluster,name,confidence"
    assert len(lines) == 91
    assert lines[1].startswith(f"{rows[0]['path']},{rows[0]['cluster']},odd/ones,")


def test_coco_has_one_category_an_image_and_sizes_of_the_files(
    spice: Spice, folder_run: Path
) -> None:
    spice("export", "--to", "coco", "-o", "x.json", "-r", folder_run / "run")
    found = json.loads(Path("x.json").read_text())
    assert [each["file_name"] for each in found["images"]] == paths(folder_run)
    assert {(each["width"], each["height"]) for each in found["images"]} == {(9, 8)}
    ids = [each["id"] for each in found["images"]]
    assert [each["image_id"] for each in found["annotations"]] == ids
    given = [each["category_id"] for each in found["annotations"]]
    assert given == clusters(folder_run / "run").tolist()
    assert {each["id"] for each in found["categories"]} == set(given)
    assert "odd/ones" in {each["name"] for each in found["categories"]}


def test_fiftyone_finds_a_label_for_every_file_by_its_stem(spice: Spice, folder_run: Path) -> None:
    spice("export", "--to", "fiftyone", "-o", "out", "-r", folder_run / "run")
    found = json.loads(Path("out/labels.json").read_text())
    files = sorted(Path("out/data").iterdir())
    assert {file.stem for file in files} == found["labels"].keys()
    named = clusters(folder_run / "run")
    titles = {c: f"cluster {c}" for c in set(named.tolist())} | {int(named[0]): "odd/ones"}
    classes = [found["classes"][place] for _, place in sorted(found["labels"].items())]
    assert classes == [titles[c] for c in named.tolist()]


def test_images_that_are_not_files_are_told_by_their_row(spice: Spice, finished: Path) -> None:
    spice("export", "--to", "csv", "-o", "x.csv", "-r", finished)
    lines = Path("x.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:4]] == ["0", "1", "2"]
    command = ["export", "--to", "folders", "-o", "out", "-r", finished]
    assert "--to csv" in spice(*command, code=2).stderr


def test_a_file_that_is_gone_is_named(spice: Spice, folder_run: Path, tmp_path: Path) -> None:
    import re
    import shutil

    base = shutil.copytree(folder_run, tmp_path / "moved")
    manifest = (base / "run" / "run.json").read_text().replace(str(folder_run), str(base))
    manifest = re.sub(r',\n  "check": "\w+"', "", manifest)
    (base / "run" / "run.json").write_text(manifest)
    next((base / "photos").rglob("*.png")).unlink()
    command = ["export", "--to", "folders", "-o", "out", "-r", base / "run"]
    assert "not those that" in spice(*command, code=4).stderr


@pytest.mark.parametrize("edited", [False, True])
def test_the_exported_program_says_what_ours_says(spice: Spice, copied: Path, edited: bool) -> None:
    if edited:
        spice("merge", 0, 1, "-r", copied)
        spice("split", 2, "-r", copied)
    result = spice("export", "--to", "program", "-o", "x.pt2", "-r", copied)
    assert "it differs from ours by" in result.stderr
    program = torch.export.load("x.pt2").module()
    pixels = images_of(Run.open(copied), Silent().say).images[:256].float() / 255
    probs, rows = model_of(Run.open(copied), CPU, fp32=True)(pixels)
    found = program(pixels)
    torch.testing.assert_close(found[0], probs, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], rows, atol=1e-4, rtol=0)
    spice("export", "--to", "csv", "-o", "x.csv", "-r", copied)
    ours = [int(line.split(",")[1]) for line in Path("x.csv").read_text().splitlines()[1:257]]
    same = [a == b for a, b in zip(found[2].tolist(), ours, strict=True)]
    assert sum(same) >= 250
    assert program(pixels[:1])[0].shape[0] == 1


def test_onnxruntime_says_what_ours_says_for_any_batch(spice: Spice, copied: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    spice("name", 3, "threes", "-r", copied)
    result = spice("export", "--to", "onnx", "-o", "x.onnx", "-r", copied)
    assert "it differs from ours by" in result.stderr
    session = onnxruntime.InferenceSession("x.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["names"]) == {"3": "threes"}
    assert about["side"] == "8"
    pixels = images_of(Run.open(copied), Silent().say).images[:256].float() / 255
    probs, rows = model_of(Run.open(copied), CPU, fp32=True)(pixels)
    names = [each.name for each in session.get_outputs()]
    assert names == ["probs", "embedding", "cluster"]
    for count in (256, 1):
        found = session.run(None, {"pixels": pixels[:count].numpy()})
        np.testing.assert_allclose(found[0], probs[:count].numpy(), atol=1e-4)
        np.testing.assert_allclose(found[1], rows[:count].numpy(), atol=1e-4)
        assert found[2].shape == (count,)


def test_a_model_that_says_something_else_is_not_written(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spice_cli.stages.export_check.TOLERANCE", -1.0)
    command = ["export", "--to", "program", "-o", "x.pt2", "-r", copied]
    assert "was not written" in spice(*command, code=4).stderr
    assert not list(Path().glob("x.pt2*"))


def test_without_the_packages_for_onnx_it_names_the_extra(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    command = ["export", "--to", "onnx", "-o", "x.onnx", "-r", copied]
    assert "pip install 'spice-cli[onnx]'" in spice(*command, code=3).stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("export --to csv", "--output"),
        ("export -o x", "--to"),
        ("export --to cvs -o x", "did you mean `csv`?"),
        ("export --to folders -o x --how move", "symlink, hardlink, copy"),
    ],
)
def test_what_is_misspelt_exits_2(spice: Spice, line: str, said: str) -> None:
    assert said in " ".join(spice(*line.split(), code=2).stderr.split())
