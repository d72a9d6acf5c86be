import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from spice_cli.heads.quality import quality


def test_the_best_heads_clusters_are_described_and_all_heads_compared() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1], [2, 2, 0, 0, 1, 1]])
    found = quality(labels, torch.tensor([0.5, -1.0, 2.0]), 3)
    assert (found["selection_loss"], found["head"], found["empty"]) == (-1.0, 1, 1)
    assert found["largest_share"] == pytest.approx(4 / 6)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = sum(normalized_mutual_info_score(labels[a], labels[b]) for a, b in pairs) / 3
    assert found["agreement"] == pytest.approx(expected)


def test_one_head_agrees_with_nobody() -> None:
    assert "agreement" not in quality(torch.tensor([[0, 1]]), torch.tensor([0.0]), 2)
