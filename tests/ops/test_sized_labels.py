import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from spice_cli.ops.pseudo_labels import prototype_labels
from spice_cli.ops.sized_labels import quotas, sized_labels


@given(
    shares=st.lists(st.floats(0.001, 1), min_size=2, max_size=6),
    total=st.integers(6, 200),
    least=st.integers(0, 5),
)
def test_quotas_add_up_and_leave_none_without(shares: list[float], total: int, least: int) -> None:
    (found,) = quotas(torch.tensor([shares]), total, least)
    assert int(found.sum()) == total
    assert int(found.min()) >= min(least, total // len(shares))
    largest = torch.tensor(shares).argmax()
    assert int(found[largest]) == int(found.max())


def test_quotas_are_in_proportion_to_shares() -> None:
    assert quotas(torch.tensor([[0.5, 0.3, 0.2]]), 100, 0).tolist() == [[50, 30, 20]]
    assert quotas(torch.tensor([[1.0, 0.0, 0.0]]), 100, 5).tolist() == [[90, 5, 5]]
    assert quotas(torch.tensor([[1.0, 1.0, 1.0]]), 10, 0).tolist() == [[4, 3, 3]]


def test_equal_quotas_label_as_the_paper_does() -> None:
    draw = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(30, 4, generator=draw))
    probs = torch.randn(2, 30, 3, generator=draw).softmax(2)
    found = sized_labels(features, probs, torch.full((2, 3), 10), ratio=0.5)
    index = prototype_labels(features, probs, ratio=0.5)
    for head in range(2):
        for cluster in range(3):
            rows = found.rows[head][found.label[head] == cluster]
            assert set(rows.tolist()) == set(index[head, cluster].tolist())


def test_clusters_label_the_rows_nearest_to_the_mean_of_their_surest() -> None:
    features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])
    probs = torch.tensor([[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]]])
    found = sized_labels(features, probs, torch.tensor([[3, 1]]), ratio=0.5)
    pairs = sorted(zip(found.rows[0].tolist(), found.label[0].tolist(), strict=True))
    assert pairs == [(0, 0), (1, 0), (2, 0), (3, 1)]
