import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from spice_cli.ops.quality import rankme
from spice_cli.stages.assignments import Assignments
from spice_cli.stages.unlabelled import lost_clusters, sizes

Spice = Callable[..., Any]


def assigned(*counts: int) -> Assignments:
    cluster = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rows = torch.arange(len(cluster))
    return Assignments(rows, cluster, torch.ones(len(cluster)) / 2, len(counts))


def test_clusters_below_a_tenth_of_an_even_share_are_lost() -> None:
    assert lost_clusters(assigned(50, 50)) == []
    assert lost_clusters(assigned(190, 10)) == []
    (note,) = lost_clusters(assigned(0, 196, 0, 4))
    assert note == "3 of 4 clusters lost (0, 2, 3): 2 empty, the others below 0.1 of an even share"
    (note,) = lost_clusters(assigned(*[0] * 30, 5))
    assert "30 of 31 clusters lost (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...): 30 empty" in note


def test_sizes_count_what_is_in_use() -> None:
    assert sizes(assigned(3, 0, 5)) == {
        "clusters": 2,
        "smallest": 0,
        "largest": 5,
        "confidence": 0.5,
    }


def test_rankme_and_silhouette_stand_beside_the_metrics(spice: Spice, copied: Path) -> None:
    result = spice("evaluate", "-r", copied)
    assert result.stdout.count("\n") == 3
    kept = json.loads((copied / "evaluate.json").read_text())
    assert list(kept["scores"]) == ["acc", "nmi", "ari"]
    assert list(kept["label_free"]) == ["rankme", "silhouette"]
    x = load_file(copied / "embed.safetensors")["embeddings"]
    assert kept["label_free"]["rankme"] == pytest.approx(rankme(x))
    lines = [" ".join(line.split()) for line in result.stderr.splitlines()]
    assert f"rankme {rankme(x):.4f} no labels used" in lines


def test_lost_clusters_are_said_with_and_without_truth(spice: Spice, copied: Path) -> None:
    np.save("probs.npy", np.eye(10, dtype=np.float32)[load_digits().target // 2])
    spice("self-label", "-r", copied, "--from", "probs.npy")
    line = ["evaluate", "-r", copied, "--stage", "self-label"]
    assert "5 of 10 clusters lost (5, 6, 7, 8, 9): 5 empty" in spice(*line).stderr
    np.save("labels.npy", np.full(1797, -1))
    assert "5 of 10 clusters lost" in spice(*line, "--labels", "labels.npy").stderr


def test_features_that_have_collapsed_are_said_to_have(spice: Spice) -> None:
    rows = np.ones((60, 8), np.float32) + 1e-6 * np.arange(60, dtype=np.float32)[:, None]
    np.save("flat.npy", rows)
    spice("embed", "--from", "flat.npy")
    np.save("labels.npy", np.arange(60) % 2)
    result = spice("evaluate", "-k", 2, "--labels", "labels.npy")
    assert "the features have collapsed: RankMe 1.0" in result.stderr
