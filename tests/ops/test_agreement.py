import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from spice_cli.ops.agreement import agreement


def test_it_is_the_mean_of_scikit_learns_nmi_over_all_pairs() -> None:
    labels = torch.randint(5, (4, 60), generator=torch.Generator().manual_seed(0))
    labels[1] = (labels[0] + 2) % 5
    labels[2, :50] = 3
    pairs = [(a, b) for a in range(4) for b in range(a)]
    expected = [normalized_mutual_info_score(labels[a], labels[b]) for a, b in pairs]
    assert agreement(labels, 7).item() == pytest.approx(sum(expected) / len(pairs))


def test_the_names_of_clusters_do_not_matter_and_one_cluster_each_is_full_agreement() -> None:
    labels = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    assert agreement(labels, 2).item() == pytest.approx(1)
    assert agreement(torch.zeros(3, 4, dtype=torch.int64), 2).item() == 1
    assert agreement(torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1]]), 2).item() == 0
    assert agreement(labels[:1], 2).item() == 1
