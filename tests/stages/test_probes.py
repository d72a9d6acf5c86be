import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from spice_cli.catalog import PROBES
from spice_cli.ops.kmeans import kmeans
from spice_cli.run.store import Run
from spice_cli.stages.probed import Probed, probe
from spice_cli.track import Silent

Spice = Callable[..., Any]
TRUTH = torch.from_numpy(load_digits().target)


@pytest.fixture
def probed(finished: Path) -> Probed:
    """A few of the digits, so that it is quick: the others are unknown."""
    x = load_file(finished / "embed.safetensors")["embeddings"]
    labels = TRUTH.clone()
    labels[400:] = -1
    return Probed(Run.open(finished), x, labels, "arithmetic", None, Silent())


def test_every_probe_gives_shares_and_says_how(probed: Probed) -> None:
    for name in PROBES:
        scores, notes = probe(probed, (name,))
        assert scores, name
        assert all(key.split("-")[0] == name and 0 <= v <= 1 for key, v in scores.items())
        assert len(notes) == 1
        assert notes[0].startswith(f"{name}: ")


def test_k_means_is_the_mean_and_deviation_of_ten_single_starts(probed: Probed) -> None:
    found, _ = probe(probed, ("kmeans",))
    labels = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        centers = kmeans(probed.embeddings, 10, generator=generator, restarts=1).centers
        labels.append((probed.embeddings[:400] @ centers.T).argmax(1).numpy())
    truth = TRUTH[:400].numpy()
    aris = [adjusted_rand_score(truth, own) for own in labels]
    nmis = [normalized_mutual_info_score(truth, own) for own in labels]
    assert found["kmeans-ari"] == pytest.approx(mean(aris))
    assert found["kmeans-ari-std"] == pytest.approx(stdev(aris))
    assert found["kmeans-nmi"] == pytest.approx(mean(nmis))
    pairs = [adjusted_rand_score(labels[i], labels[j]) for i in range(10) for j in range(i)]
    assert found["kmeans-stability"] == pytest.approx(mean(pairs))
    assert 0 < found["kmeans-acc-std"] < found["kmeans-acc"]


def test_too_few_labels_are_said_to_be_too_few(probed: Probed) -> None:
    labels = torch.full_like(TRUTH, -1)
    labels[0] = 3
    few = Probed(probed.run, probed.embeddings, labels, "arithmetic", None, Silent())
    for name in ("knn", "linear", "neighbors"):
        assert probe(few, (name,)) == ({}, [f"{name}: too few labels are known"])


def test_under_split_the_training_images_teach_and_the_others_are_asked(
    spice: Spice, finished: Path
) -> None:
    x = load_file(finished / "embed.safetensors")["embeddings"]
    np.savez("s.npz", images=load_digits().images[:600].astype(np.uint8), **_test_side(600, 200))
    run = spice("pretrain", "s.npz", "--protocol", "split", *TINY).stdout.strip()
    np.save("e.npy", x[:800].numpy())
    spice("embed", "-r", run, "--from", "e.npy")
    line = ["evaluate", "-r", run, "-k", 10, "--json", "--probe", *PROBES]
    found = json.loads(spice(*line).stdout)
    oracle = LogisticRegression(C=100, max_iter=3000).fit(x[:600], TRUTH[:600])
    expected = oracle.score(x[600:800], TRUTH[600:800])
    assert found["linear"] == pytest.approx(expected, abs=0.05)
    near = (x[600:800].double() @ x[:600].double().T).argsort(1, descending=True)[:, :20]
    share = (TRUTH[:600][near] == TRUTH[600:800, None]).double().mean()
    assert found["neighbors"] == pytest.approx(float(share), abs=1e-3)
    assert {"knn", "lars", "kmeans-acc"} <= found.keys()


TINY = ["--backbone", "small", "--epochs", 1, "--set", "width=4", "--set", "views.blur=0"]


def _test_side(train: int, test: int) -> dict[str, np.ndarray]:
    images = load_digits().images[train : train + test].astype(np.uint8)
    truth = TRUTH.numpy()
    return {
        "labels": truth[:train],
        "test_images": images,
        "test_labels": truth[train : train + test],
    }


def test_probes_are_chosen_by_name_and_replace_the_usual_one(spice: Spice, copied: Path) -> None:
    line = ["evaluate", "-r", copied, "--stage", "embed", "--json", "--probe"]
    result = spice(*line, "neighbors", "knn", "--metrics", "acc")
    assert list(json.loads(result.stdout)) == ["acc", "neighbors", "knn", "of"]
    assert "neighbors: share of the 20 nearest" in result.stderr
    assert "`nearest` is not one of" in spice(*line, "nearest", code=2).stderr
    semi = json.loads(spice("evaluate", "-r", copied, "--json", "--probe", "knn").stdout)
    assert list(semi) == ["acc", "nmi", "ari", "knn", "of"]


@pytest.mark.parametrize("flags", [["--probe", "knn"], ["--oracle"]])
def test_without_truth_there_is_nothing_to_probe(
    spice: Spice, copied: Path, flags: list[str]
) -> None:
    np.save("labels.npy", np.full(1797, -1))
    result = spice("evaluate", "-r", copied, "--labels", "labels.npy", *flags, code=3)
    assert "there are none" in result.stderr
