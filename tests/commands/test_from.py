"""`--from FILE`: another program's output in place of a stage's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import make_blobs

Spice = Callable[..., Any]
N, K = 240, 4
HEADS = ["--epochs", 12, "--heads", 3, "--set", "passes=4", "--set", "batch=240"]


@pytest.fixture
def blobs(tmp_path: Path) -> np.ndarray:
    """Write `blobs.npy`, whose clusters anyone would find; return the true classes."""
    centers = np.eye(K, 16) * 10
    points, classes = make_blobs([N // K] * K, centers=centers, random_state=0)
    np.save(tmp_path / "blobs.npy", points.astype(np.float32))
    np.save(tmp_path / "truth.npy", classes)
    return np.asarray(classes)


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def test_embeddings_alone_begin_a_run_that_goes_to_select_reliable(
    spice: Spice, blobs: np.ndarray
) -> None:
    assert spice("embed", "--from", "blobs.npy").stdout == "runs/blobs\n"
    data = manifest(Path("runs/blobs"))["data"]
    assert (data["spec"], data["name"], data["train"], data["size"]) == (None, "blobs", N, None)
    embeddings = load_file("runs/blobs/embed.safetensors")["embeddings"]
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(N))
    assert "pass `--clusters K`" in spice("self-label", *HEADS, code=2).stderr
    assert spice("self-label", "--clusters", K, *HEADS).stdout == "runs/blobs\n"
    quick = ["--neighbors", 10, "--confidence", 0]
    assert spice("select-reliable", *quick).stdout == "runs/blobs\n"
    without = json.loads(spice("evaluate", "--json").stdout)
    assert list(without) == ["clusters", "smallest", "largest", "confidence", "silhouette", "of"]
    assert "acc" not in without
    with_ = json.loads(spice("evaluate", "--json", "--labels", "truth.npy").stdout)
    assert [*with_] == ["acc", "nmi", "ari", "of"]
    assert min(with_[name] for name in ("acc", "nmi", "ari")) > 0.95
    assert "no ground truth" in spice("evaluate").stderr
    too_many = spice("evaluate", "--stage", "embed", "-k", 500, code=2).stderr
    assert "500 clusters are more than 240 training images" in too_many


def test_what_needs_images_says_that_there_are_none(spice: Spice, blobs: np.ndarray) -> None:
    spice("embed", "--from", "blobs.npy", "-r", "b")
    for name in ("pretrain", "semi"):
        result = spice(name, "-r", "b", code=3)
        assert "began with embeddings and has no images" in result.stderr
        assert "spice pretrain DATASET" in result.stderr


def test_a_stage_taken_from_a_file_stays_until_it_is_forced(
    spice: Spice, blobs: np.ndarray, finished: Path, copied: Path
) -> None:
    spice("embed", "--from", "blobs.npy", "-r", "b")
    assert "stays as it is" in spice("embed", "-r", "b").stderr
    assert "has no images" in spice("embed", "--force", "-r", "b", code=3).stderr
    spice("embed", "-r", copied, "--from", finished / "embed.safetensors")
    assert manifest(copied)["stages"]["embed"]["imported"]
    spice("embed", "-r", copied, "--force")
    assert not manifest(copied)["stages"]["embed"]["imported"]


def test_foreign_embeddings_are_never_mixed_with_views_of_the_runs_backbone(
    spice: Spice, copied: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(1797, 5)).astype(np.float32)
    np.save("other.npy", rows)
    spice("embed", "-r", copied, "--from", "other.npy")
    live = spice("self-label", "-r", copied, "--set", "views=live", code=2).stderr
    assert "the backbone that embedded them" in live
    cached = spice("self-label", "-r", copied, "--set", "views=cached", code=2).stderr
    assert "--views 4" in cached
    spice("self-label", "-r", copied, "--epochs", 1)
    assert manifest(copied)["stages"]["self-label"]["config"]["views"] == "plain"


def test_embed_from_starts_a_run_where_it_is_told_to(spice: Spice, blobs: np.ndarray) -> None:
    assert spice("embed", "--from", "blobs.npy", "-r", "here/b").stdout == "here/b\n"
    assert spice("embed", "--from", "blobs.npy", "-r", "here/b").stdout == "here/b\n"
    np.save("other.npy", np.load("blobs.npy")[:-1])
    result = spice("embed", "--from", "other.npy", "-r", "here/b", code=4)
    assert "(239, 16)" in result.stderr


def test_k_means_needs_a_number_of_clusters(spice: Spice, blobs: np.ndarray) -> None:
    spice("embed", "--from", "blobs.npy", "-r", "b")
    assert "--clusters K" in spice("evaluate", "-r", "b", code=2).stderr
    line = ["evaluate", "-r", "b", "--clusters", K, "--labels", "truth.npy", "--json"]
    found = json.loads(spice(*line).stdout)
    del found["of"]
    assert found == {"acc": 1, "nmi": 1, "ari": 1, "knn": 1}


BAD: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "nan": (lambda x: np.where(np.eye(*x.shape) > 0, np.nan, x), "not finite"),
    "infinite": (lambda x: np.where(np.eye(*x.shape) > 0, np.inf, x), "not finite"),
    "zeros": (lambda x: x * 0, "rows of zeros"),
    "flat": (lambda x: x.reshape(-1), "not (n, d)"),
    "one row": (lambda x: x[:1], "not (n, d)"),
    "no width": (lambda x: x[:, :0], "not (n, d)"),
    "text": (lambda x: x.astype(str), "not numbers"),
    "complex": (lambda x: x.astype(complex), "not numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_embeddings_that_are_none_are_named(spice: Spice, blobs: np.ndarray, name: str) -> None:
    change, sentence = BAD[name]
    np.save("bad.npy", change(np.load("blobs.npy")))
    result = spice("embed", "--from", "bad.npy", code=4)
    assert sentence in result.stderr
    assert "bad.npy" in result.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["pickle.npy", "cut.npy", "empty.npy", "cut.safetensors", "x.txt"])
def test_files_that_cannot_be_read_are_named(spice: Spice, blobs: np.ndarray, name: str) -> None:
    if name == "pickle.npy":
        np.save(name, np.array([object()]), allow_pickle=True)
    else:
        whole = b"" if name.startswith("empty") else Path("blobs.npy").read_bytes()[:300]
        Path(name).write_bytes(whole)
    result = spice("embed", "--from", name, code=4)
    assert f"`{name}` cannot be read" in result.stderr
    assert "`.safetensors` and `.npy`" in result.stderr


def test_a_file_that_is_not_there_exits_3(spice: Spice, copied: Path) -> None:
    for stage in ("pretrain", "embed", "self-label", "select-reliable", "semi"):
        result = spice(stage, "-r", copied, "--from", "gone.npy", code=3)
        assert "there is no file `gone.npy`" in result.stderr


def test_big_endian_and_half_precision_embeddings_are_taken(
    spice: Spice, blobs: np.ndarray
) -> None:
    points = np.load("blobs.npy")
    for number, dtype in enumerate((">f4", "f2", "f8", "i4")):
        np.save("these.npy", points.astype(dtype))
        spice("embed", "--from", "these.npy", "-r", number)
        stored = load_file(f"{number}/embed.safetensors")["embeddings"]
        assert stored.dtype == torch.float32
        wanted = torch.nn.functional.normalize(torch.from_numpy(points.astype(dtype).astype("f4")))
        torch.testing.assert_close(stored, wanted)


def test_every_stages_own_output_can_be_taken_back(
    spice: Spice, finished: Path, copied: Path
) -> None:
    for stage in ("pretrain", "embed", "self-label", "select-reliable", "semi"):
        file = finished / f"{stage}.safetensors"
        assert spice(stage, "-r", copied, "--from", file).stdout == f"{copied}\n"
        record = manifest(copied)["stages"][stage]
        assert record["imported"] is True
        assert record["config"]["from"]["name"] == str(file)
        ours, theirs = load_file(copied / file.name), load_file(file)
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[name].float(), theirs[name].float()) for name in ours)
    states = json.loads(spice("status", "-r", copied, "--json").stdout)
    assert set(states.values()) == {"done"}
    spice("evaluate", "-r", copied)


def test_pretrained_weights_come_with_or_without_a_prefix(
    spice: Spice, finished: Path, copied: Path
) -> None:
    tensors = load_file(finished / "pretrain.safetensors")
    save_file({k.removeprefix("backbone."): v for k, v in tensors.items()}, "bare.safetensors")
    spice("pretrain", "-r", copied, "--from", "bare.safetensors")
    assert load_file(copied / "pretrain.safetensors").keys() == tensors.keys()


def test_weights_that_do_not_fit_are_named(spice: Spice, finished: Path, copied: Path) -> None:
    tensors = load_file(finished / "pretrain.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    other = {**tensors, name: torch.zeros(1)}
    other["backbone.surprise"] = torch.zeros(1)
    save_file(other, "other.safetensors")
    result = spice("pretrain", "-r", copied, "--from", "other.safetensors", code=4)
    assert f"`{name}` is (1,), not" in result.stderr
    assert "`backbone.surprise` is unknown" in result.stderr
    line = ["pretrain", "-r", copied, "--from", finished / "pretrain.safetensors"]
    assert "do not fit" in spice(*line, "--backbone", "resnet18", code=4).stderr


def test_a_vector_with_minus_100_selects_the_rest(
    spice: Spice, finished: Path, copied: Path
) -> None:
    selected = load_file(finished / "select-reliable.safetensors")
    kept = selected["label"] < 6
    index, label = selected["index"][kept], selected["label"][kept]
    labels = np.full(1797, -100.0)
    labels[index] = label
    np.save("labels.npy", labels)
    spice("select-reliable", "-r", copied, "--from", "labels.npy")
    tensors = load_file(copied / "select-reliable.safetensors")
    assert tensors.keys() == {"index", "label"}
    assert torch.equal(tensors["index"], index)
    assert torch.equal(tensors["label"], label)
    result = spice("evaluate", "-r", copied, "--stage", "select-reliable", "--metrics", "purity")
    assert f"only the {len(index)} selected training images" in result.stderr
    spice("semi", "-r", copied, "--set", "steps=50")
    assert load_file(copied / "semi.safetensors")["probs"].shape == (1797, 6)


WRONG_LABELS: dict[str, tuple[Any, str, int]] = {
    "short": (np.zeros(5, int), "is (5,), but the run trains on 1797 images", 4),
    "square": (np.zeros((1797, 2), int), "is (1797, 2)", 4),
    "none": (np.full(1797, -100), "labels no image", 2),
    "negative": (np.full(1797, -1), "holds -1", 4),
    "half": (np.full(1797, 0.5), "whole numbers", 4),
    "nan": (np.full(1797, np.nan), "whole numbers", 4),
}


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_reliable_labels_that_are_none_are_named(spice: Spice, copied: Path, name: str) -> None:
    labels, sentence, code = WRONG_LABELS[name]
    np.save("labels.npy", labels)
    line = ["select-reliable", "-r", copied, "--from", "labels.npy"]
    assert sentence in spice(*line, code=code).stderr


PROBS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "short": (lambda p: p[:-1], "(1796, 10)"),
    "nan": (lambda p: np.where(p > 0.5, np.nan, p), "not finite"),
    "negative": (lambda p: p - 1, "negative"),
    "twice": (lambda p: p * 2, "sums to 2"),
    "flat": (lambda p: p[:, 0], "(1797,)"),
}


@pytest.mark.parametrize("stage", ["self-label", "semi"])
@pytest.mark.parametrize("name", PROBS)
def test_probabilities_that_are_none_are_named(
    spice: Spice, finished: Path, copied: Path, name: str, stage: str
) -> None:
    change, sentence = PROBS[name]
    np.save("probs.npy", change(load_file(finished / "semi.safetensors")["probs"].numpy()))
    result = spice(stage, "-r", copied, "--from", "probs.npy", code=4)
    assert "`probs`" in result.stderr
    assert sentence in result.stderr


def test_probabilities_from_elsewhere_are_enough_to_go_on(
    spice: Spice, finished: Path, copied: Path
) -> None:
    np.save("probs.npy", load_file(finished / "semi.safetensors")["probs"].numpy())
    spice("self-label", "-r", copied, "--from", "probs.npy")
    spice("select-reliable", "-r", copied)
    own = json.loads(spice("evaluate", "-r", copied, "--stage", "self-label", "--json").stdout)
    theirs = json.loads((finished / "evaluate.json").read_text())["scores"]
    del own["of"]
    assert own == theirs
    assert "`semi`" in spice("evaluate", "-r", copied, code=4).stderr


def test_a_file_whose_name_is_no_text_begins_a_run(
    spice: Spice, blobs: np.ndarray, tmp_path: Path
) -> None:
    file = (tmp_path / "blobs.npy").rename(tmp_path / "x\udcff.npy")
    spice("embed", "--from", file, "-r", "r")
    assert manifest(Path("r"))["data"]["name"] == r"x\udcff"
    spice("status", "-r", "r")


def test_an_archive_is_refused_by_its_name(spice: Spice, blobs: np.ndarray) -> None:
    np.savez("all.npz", embeddings=np.load("blobs.npy"))
    told = spice("embed", "--from", "all.npz", code=4).stderr
    assert "`.npy` and `.safetensors`, not `.npz`" in told


def test_rows_of_other_images_are_told_how_to_begin_a_run(spice: Spice, copied: Path) -> None:
    np.save("few.npy", np.eye(5, dtype=np.float32))
    result = spice("embed", "--from", "few.npy", "-r", copied, code=4)
    assert "(5, 5)" in result.stderr
    assert "1797" in result.stderr
    spice(*result.stderr.split("spice ")[-1].split())
