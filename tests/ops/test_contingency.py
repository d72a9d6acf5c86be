import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import contingency_matrix

from spice_cli.ops.contingency import Tabulated, tabulate

pairs = st.lists(st.tuples(st.integers(-3, 5), st.integers(-3, 5)), min_size=1, max_size=40)


@settings(deadline=None)
@given(pairs)
def test_counts_equal_scikit_learns(drawn: list[tuple[int, int]]) -> None:
    predicted, target = torch.tensor(drawn).unbind(1)
    oracle = contingency_matrix(predicted.numpy(), target.numpy())
    found = tabulate(predicted, target)
    assert found.counts.tolist() == oracle.tolist()
    assert found.clusters.tolist() == sorted({pair[0] for pair in drawn})
    assert found.classes.tolist() == sorted({pair[1] for pair in drawn})


def test_ids_that_never_occur_have_no_row() -> None:
    table = tabulate(torch.tensor([7, 10**12, 7]), torch.tensor([-1, 4, 4]))
    assert table.clusters.tolist() == [7, 10**12]
    assert table.classes.tolist() == [-1, 4]
    assert table.counts.tolist() == [[1, 1], [0, 1]]
    assert table.counts.dtype == torch.int64


@pytest.mark.parametrize("far", [0, 2**18, -(2**63)])
def test_ids_far_apart_are_counted_as_those_close_together(far: int) -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(1, 40, (500,), generator=generator)
    target = torch.randint(3, 30, (500,), generator=generator)
    close = tabulate(predicted, target)
    apart = tabulate(torch.where(predicted == 1, far, predicted), target)
    assert torch.equal(apart.classes, close.classes)
    moved = sorted({far if c == 1 else c for c in close.clusters.tolist()})
    assert apart.clusters.tolist() == moved
    for row, cluster in enumerate(moved):
        same = close.clusters == (1 if cluster == far else cluster)
        assert torch.equal(apart.counts[row], close.counts[same][0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_small_integer_types_do_not_overflow(dtype: torch.dtype) -> None:
    ids = torch.arange(128).repeat(300)
    table = tabulate(ids.to(dtype), ids.to(dtype))
    assert torch.equal(table.counts, 300 * torch.eye(128, dtype=torch.int64))
    assert table.clusters.tolist() == table.classes.tolist() == list(range(128))


def test_functions_of_one_table_equal_those_of_the_labels() -> None:
    @Tabulated
    def largest(table, scale=1):
        """Largest count."""
        return scale * int(table.counts.max())

    predicted, target = torch.tensor([0, 0, 1]), torch.tensor([2, 2, 2])
    assert largest(predicted, target, scale=3) == 6
    assert largest.of(tabulate(predicted, target), scale=3) == 6
    assert largest.__doc__ == "Largest count."


def test_no_samples_make_an_empty_table() -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert tabulate(none, none).counts.shape == (0, 0)
