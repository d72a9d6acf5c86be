import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from sklearn import metrics
from sklearn.datasets import load_digits

Spice = Callable[..., Any]


def scores(result: Any) -> dict[str, float]:
    return {name: float(value) for name, value in map(str.split, result.stdout.splitlines())}


def predicted(run: Path, stage: str) -> np.ndarray:
    return load_file(run / f"{stage}.safetensors")["probs"].argmax(1).numpy()


def matched(truth: np.ndarray, guess: np.ndarray) -> float:
    table = metrics.cluster.contingency_matrix(truth, guess)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(truth))


def test_the_scores_are_scikit_learns(spice: Spice, copied: Path) -> None:
    truth = load_digits().target
    for stage in ("self-label", "semi"):
        guess = predicted(copied, stage)
        line = ["evaluate", "-r", copied, "--stage", stage, "--metrics"]
        line += ["acc", "nmi", "ari", "ami", "fmi", "vmeasure"]
        expected = {
            "acc": matched(truth, guess),
            "nmi": metrics.normalized_mutual_info_score(truth, guess),
            "ari": metrics.adjusted_rand_score(truth, guess),
            "ami": metrics.adjusted_mutual_info_score(truth, guess),
            "fmi": metrics.fowlkes_mallows_score(truth, guess),
            "vmeasure": metrics.v_measure_score(truth, guess),
        }
        assert scores(spice(*line)) == pytest.approx(expected, abs=1e-9)


def test_the_furthest_stage_is_scored_unless_another_is_named(
    spice: Spice, copied: Path, forget: Callable[..., Path]
) -> None:
    semi = spice("evaluate", "-r", copied, "--stage", "semi").stdout
    assert spice("evaluate", "-r", copied).stdout == semi
    forget(copied, "semi")
    label = spice("evaluate", "-r", copied, "--stage", "self-label").stdout
    assert label != semi
    assert spice("evaluate", "-r", copied).stdout == label
    assert "spice semi -r" in spice("evaluate", "-r", copied, "--stage", "semi", code=3).stderr
    forget(copied, "select-reliable", "self-label")
    assert "knn\t" in spice("evaluate", "-r", copied).stdout
    forget(copied, "embed")
    assert "spice embed -r" in spice("evaluate", "-r", copied, code=3).stderr


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("", ["acc", "nmi", "ari"]),
        ("--metrics acc nmi ari", ["acc", "nmi", "ari"]),
        ("--metrics ari acc", ["ari", "acc"]),
        ("--metrics acc --metrics nmi", ["acc", "nmi"]),
        ("--metrics=purity --metrics ami acc", ["purity", "ami", "acc"]),
        ("--metrics acc acc", ["acc"]),
    ],
)
def test_metrics_come_as_asked_for(
    spice: Spice, copied: Path, flags: str, names: list[str]
) -> None:
    assert list(scores(spice("evaluate", "-r", copied, *flags.split()))) == names
    out = spice("evaluate", *flags.split(), "--json", "-r", copied).stdout
    assert out.count("\n") == 1
    assert list(json.loads(out)) == [*names, "of"]


def test_the_protocol_stands_beside_every_metric(spice: Spice, copied: Path) -> None:
    result = spice("evaluate", "-r", copied, "--metrics", "acc", "purity")
    for name, value in scores(result).items():
        row = f"{name} {value:.4f} whole, n = 1,797"
        assert row in [" ".join(line.split()) for line in result.stderr.splitlines()]
    assert "train and test together" in result.stderr


def test_embed_is_scored_by_k_means_and_a_probe(spice: Spice, copied: Path) -> None:
    found = json.loads(spice("evaluate", "-r", copied, "--stage", "embed", "--json").stdout)
    assert list(found) == ["acc", "nmi", "ari", "knn", "of"]
    assert found["knn"] > 0.8
    fewer = json.loads(
        spice("evaluate", "-r", copied, "--stage", "embed", "-k", 2, "--json").stdout
    )
    assert fewer["acc"] < 0.25
    assert fewer["knn"] == found["knn"]


def test_many_to_one_is_purity_and_says_so(spice: Spice, copied: Path) -> None:
    line = ["evaluate", "-r", copied, "--metrics", "acc", "purity"]
    one, many = spice(*line), spice(*line, "--match", "many-to-one")
    assert "matched one to one" in one.stderr
    assert "matched many to one" in many.stderr
    assert scores(many)["acc"] == pytest.approx(scores(one)["purity"])
    assert scores(many)["acc"] >= scores(one)["acc"]


def test_the_geometric_mean_is_an_option_and_says_so(spice: Spice, copied: Path) -> None:
    line = ["evaluate", "-r", copied, "--metrics", "nmi"]
    assert "nmi: arithmetic mean" in spice(*line).stderr
    result = spice(*line, "--average", "geometric")
    assert "nmi: geometric mean" in result.stderr
    expected = metrics.normalized_mutual_info_score(
        load_digits().target, predicted(copied, "semi"), average_method="geometric"
    )
    assert scores(result)["nmi"] == pytest.approx(expected, abs=1e-9)


def test_calibration_is_of_what_is_right_under_the_match(spice: Spice, copied: Path) -> None:
    probs = load_file(copied / "semi.safetensors")["probs"]
    sure, guess = (each.numpy() for each in probs.max(1))
    truth = load_digits().target
    table = metrics.cluster.contingency_matrix(truth, guess)
    rows, columns = linear_sum_assignment(-table)
    to = dict(zip(np.unique(guess)[columns], np.unique(truth)[rows], strict=True))
    right = np.array([to.get(g, -1) for g in guess]) == truth
    bins = np.minimum(np.ceil(sure * 15), 15)
    expected = sum(
        abs(sure[bins == b].sum() - right[bins == b].sum()) / len(truth) for b in range(1, 16)
    )
    result = spice("evaluate", "-r", copied, "--metrics", "ece")
    assert scores(result)["ece"] == pytest.approx(expected, abs=1e-5)
    assert "ece: right by the one-to-one match" in result.stderr


@pytest.mark.parametrize("stage", ["embed", "select-reliable"])
def test_calibration_needs_probabilities(spice: Spice, copied: Path, stage: str) -> None:
    line = ["evaluate", "-r", copied, "--metrics", "ece", "--stage", stage]
    assert "`ece` is about probabilities" in spice(*line, code=2).stderr


def test_the_reliable_labels_are_scored_on_their_own_rows(spice: Spice, copied: Path) -> None:
    tensors = load_file(copied / "select-reliable.safetensors")
    truth, guess = load_digits().target[tensors["index"]], tensors["label"].numpy()
    line = ["evaluate", "-r", copied, "--stage", "select-reliable"]
    result = spice(*line, "--metrics", "acc", "purity")
    assert scores(result)["acc"] == pytest.approx(matched(truth, guess), abs=1e-9)
    assert f"only the {len(guess)} selected training images" in result.stderr


def test_json_says_what_it_is_scores_of(spice: Spice, copied: Path) -> None:
    line = ["evaluate", "-r", copied, "--json", "--stage"]
    whole = json.loads(spice(*line, "semi").stdout)["of"]
    assert whole == {
        "run": str(copied),
        "stage": "semi",
        "protocol": "whole",
        "images": 1797,
        "coverage": 1.0,
        "clusters": 10,
        "seed": 0,
        "labels": "data set",
    }
    some = json.loads(spice(*line, "select-reliable").stdout)["of"]
    selected = len(load_file(copied / "select-reliable.safetensors")["index"])
    assert (some["stage"], some["images"]) == ("select-reliable", selected)
    assert some["coverage"] == selected / 1797
    kept = json.loads((copied / "evaluate.json").read_text())
    assert kept["coverage"] == some["coverage"]
    labels = np.full(1797, -1)
    labels[:900] = load_digits().target[:900]
    np.save("half.npy", labels)
    half = json.loads(spice(*line, "semi", "--labels", "half.npy").stdout)["of"]
    assert (half["images"], half["coverage"]) == (900, 900 / 1797)
    assert half["labels"] == json.loads((copied / "evaluate.json").read_text())["labels"]
    np.save("none.npy", labels * 0 - 1)
    none = json.loads(spice(*line, "semi", "--labels", "none.npy").stdout)
    assert none["of"]["labels"] is None


def test_what_was_found_is_kept_in_the_run(spice: Spice, copied: Path) -> None:
    (copied / "confusion.png").unlink()
    found = scores(spice("evaluate", "-r", copied, "--stage", "self-label"))
    kept = json.loads((copied / "evaluate.json").read_text())
    assert kept["scores"] == found
    assert (kept["stage"], kept["protocol"], kept["images"]) == ("self-label", "whole", 1797)
    assert (
        kept["input"]
        == json.loads((copied / "run.json").read_text())["stages"]["self-label"]["sha256"]
    )
    assert (copied / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_clusters_and_confusion_are_shown(spice: Spice, copied: Path) -> None:
    lines = [line.split() for line in spice("evaluate", "-r", copied).stderr.splitlines()]
    at = lines.index(["cluster", "images", "confidence", "class", "purity"])
    sizes = np.bincount(predicted(copied, "semi"), minlength=10)
    assert [int(line[1].replace(",", "")) for line in lines[at + 1 : at + 11]] == sizes.tolist()
    at = lines.index(["confusion", "(rows:", "classes,", "columns:", "clusters)"])
    table = np.array([line[1:] for line in lines[at + 2 : at + 12]], int)
    assert sorted(table.sum(0)) == sorted(sizes)
    assert table.sum(1).tolist() == np.bincount(load_digits().target).tolist()
    assert table.trace() / 1797 == pytest.approx(
        json.loads((copied / "evaluate.json").read_text())["scores"]["acc"]
    )


def give(spice: Spice, run: Path, guess: np.ndarray, clusters: int) -> None:
    """Put every image in a cluster of our choice."""
    np.save("probs.npy", np.eye(clusters, dtype=np.float32)[guess])
    spice("self-label", "-r", run, "--from", "probs.npy")


def test_empty_clusters_and_more_clusters_than_classes_are_scored(
    spice: Spice, copied: Path
) -> None:
    truth = load_digits().target
    line = ["evaluate", "-r", copied, "--stage", "self-label", "--metrics", "acc", "purity"]
    give(spice, copied, truth * 2 + 3, 30)
    result = spice(*line)
    assert scores(result) == {"acc": 1, "purity": 1}
    halves = truth * 2 + np.arange(len(truth)) % 2
    give(spice, copied, halves, 20)
    found = scores(spice(*line))
    assert found["acc"] == pytest.approx(matched(truth, halves))
    assert found["purity"] == 1
    give(spice, copied, truth // 2, 10)
    assert scores(spice(*line))["acc"] == pytest.approx(matched(truth, truth // 2))
    give(spice, copied, truth * 0, 2)
    assert scores(spice(*line))["acc"] == pytest.approx(np.bincount(truth).max() / 1797)


BAD: dict[str, tuple[Any, str]] = {
    "short": (np.zeros(5, int), "(5,), not one integer for each of 1797 rows"),
    "square": (np.zeros((1797, 1), int), "(1797, 1)"),
    "halves": (np.zeros(1797), "float64"),
}


@pytest.mark.parametrize("name", BAD)
def test_labels_that_are_none_are_named(spice: Spice, copied: Path, name: str) -> None:
    values, sentence = BAD[name]
    np.save("labels.npy", values)
    result = spice("evaluate", "-r", copied, "--labels", "labels.npy", code=4)
    assert sentence in result.stderr


def test_a_file_of_labels_that_cannot_be_read_is_named(spice: Spice, copied: Path) -> None:
    line = ["evaluate", "-r", copied, "--labels", "labels.npy"]
    assert "there is no file `labels.npy`" in spice(*line, code=3).stderr
    Path("labels.npy").write_bytes(b"no")
    assert "`labels.npy`" in spice(*line, code=4).stderr
    np.save("labels.npy", np.array([object()]), allow_pickle=True)
    assert "`labels.npy`" in spice(*line, code=4).stderr
    Path("labels").mkdir()
    assert "`labels`" in spice(*line[:-1], "labels", code=4).stderr


def test_rows_without_a_label_are_left_out(spice: Spice, copied: Path) -> None:
    truth = load_digits().target.copy()
    truth[100:] = -1
    np.save("labels.npy", truth)
    result = spice("evaluate", "-r", copied, "--labels", "labels.npy", "--metrics", "acc")
    assert "1,697 images without a label left out" in result.stderr
    expected = matched(truth[:100], predicted(copied, "semi")[:100])
    assert scores(result)["acc"] == pytest.approx(expected)


def test_labels_that_say_nothing_are_no_truth(spice: Spice, copied: Path) -> None:
    np.save("labels.npy", np.full(1797, -1))
    result = spice("evaluate", "-r", copied, "--labels", "labels.npy")
    assert "no ground truth to compare with" in result.stderr
    rows = [line.split()[:2] for line in result.stderr.splitlines()]
    assert ["clusters", "10"] in rows
    spice("report", "-r", copied)
    assert ">10<" in (copied / "report.html").read_text()


def test_names_that_look_like_markup_or_formulas_are_only_names(
    spice: Spice, tmp_path: Path
) -> None:
    from PIL import Image

    generator = np.random.default_rng(0)
    folder = tmp_path / "[/b] $\\frac$ :smile:"
    for name in ("[red]", "$x_{"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    line = ["--set", "width=4", "--backbone", "small", "--epochs", 1, "--set", "views.blur=0"]
    run = spice("pretrain", folder, *line).stdout.strip()
    assert run == f"runs/{folder.name}"
    spice("embed")
    result = spice("evaluate", "--stage", "embed")
    assert "[red]" in result.stderr
    assert "$x_{" in result.stderr
    assert f"{run}: embed" in result.stderr
    assert Path(run, "confusion.png").exists()


def test_the_silhouette_is_scikit_learns_on_runs_without_labels(
    spice: Spice, finished: Path, tmp_path: Path
) -> None:
    embeddings = load_file(finished / "embed.safetensors")["embeddings"][:300]
    guess = torch.arange(300) % 3
    guess[embeddings[:, 0] > embeddings[:, 0].median()] = 3
    np.save("e.npy", embeddings.numpy())
    np.save("p.npy", np.eye(5, dtype=np.float32)[guess])
    spice("embed", "--from", "e.npy", "-r", "r")
    spice("self-label", "--from", "p.npy", "-r", "r")
    found = json.loads(spice("evaluate", "-r", "r", "--json").stdout)
    assert (found["clusters"], found["largest"]) == (4, int((guess == 3).sum()))
    assert found["confidence"] == 1
    assert math.isfinite(found["silhouette"])
    expected = metrics.silhouette_score(embeddings.numpy(), guess.numpy(), metric="cosine")
    euclidean = metrics.silhouette_score(embeddings.numpy(), guess.numpy())
    assert min(abs(found["silhouette"] - expected), abs(found["silhouette"] - euclidean)) < 1e-4


def test_names_that_a_person_gave_stand_in_the_table_of_clusters(
    spice: Spice, copied: Path
) -> None:
    assert "  name" not in spice("evaluate", "-r", copied).stderr
    spice("name", 1, "round ones", "-r", copied)
    told = spice("evaluate", "-r", copied).stderr
    row = next(line for line in told.splitlines() if line.endswith("round ones"))
    assert row.split()[0] == "1"
    assert "round ones" not in spice("evaluate", "-r", copied, "--as-found").stderr
    assert "round ones" not in spice("evaluate", "-r", copied, "--stage", "embed").stderr


def test_metrics_with_commas_are_told_apart_by_spaces(spice: Spice, copied: Path) -> None:
    told = " ".join(spice("evaluate", "-r", copied, "--metrics", "acc,nmi", code=2).stderr.split())
    assert "several are separated by spaces: --metrics acc nmi" in told
