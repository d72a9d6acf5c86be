import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import contingency_matrix

from spice_cli.ops.contingency import contingency, tabulate

pairs = st.lists(st.tuples(st.integers(-3, 5), st.integers(-3, 5)), min_size=1, max_size=40)


@settings(deadline=None)
@given(pairs)
def test_counts_equal_scikit_learns(drawn: list[tuple[int, int]]) -> None:
    predicted, target = torch.tensor(drawn).unbind(1)
    oracle = contingency_matrix(predicted.numpy(), target.numpy())
    assert contingency(predicted, target).tolist() == oracle.tolist()


def test_ids_that_never_occur_have_no_row() -> None:
    table = tabulate(torch.tensor([7, 10**12, 7]), torch.tensor([-1, 4, 4]))
    assert table.clusters.tolist() == [7, 10**12]
    assert table.classes.tolist() == [-1, 4]
    assert table.counts.tolist() == [[1, 1], [0, 1]]
    assert table.counts.dtype == torch.int64


def test_no_samples_make_an_empty_table() -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert contingency(none, none).shape == (0, 0)
