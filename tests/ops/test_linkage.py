import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from spice_cli.ops.linkage import average_linkage


def grouped(seed: int, groups: int = 7) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    group = torch.randint(groups, (90,), generator=g)
    group[:groups] = torch.arange(groups)
    centers = torch.randn(groups, 5, generator=g)
    return F.normalize(centers[group] + 0.3 * torch.randn(90, 5, generator=g), dim=1), group


def by_pairs(rows: Tensor, group: Tensor) -> list[tuple[frozenset[int], float]]:
    """The slow obvious loop over all pairs of images."""
    similar = (rows.double() @ rows.double().T).numpy()
    labels, steps = group.clone().numpy(), []
    parts = {c: frozenset([c]) for c in set(labels.tolist())}
    while len(parts) > 1:
        means = {
            (a, b): similar[np.ix_(labels == a, labels == b)].mean()
            for a in parts
            for b in parts
            if a < b
        }
        (a, b), value = max(means.items(), key=lambda each: each[1])
        labels[labels == b] = a
        parts[a] |= parts.pop(b)
        steps.append((parts[a], float(value)))
    return steps


@pytest.mark.parametrize("seed", range(5))
def test_steps_are_those_of_the_mean_over_all_pairs_of_images(seed: int) -> None:
    rows, group = grouped(seed)
    ours = average_linkage(rows, group)
    expected = by_pairs(rows, group)
    assert [frozenset(step.groups) for step in ours] == [groups for groups, _ in expected]
    assert [step.cosine for step in ours] == pytest.approx([value for _, value in expected])


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_one_row_merge_as_scipys_average_linkage_does(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(12, 4, generator=g, dtype=torch.float64), dim=1)
    ours = average_linkage(rows, torch.arange(12))
    apart = 1 - (rows @ rows.T).numpy()
    theirs = linkage(apart[np.triu_indices(12, 1)], "average")
    assert [1 - step.cosine for step in ours] == pytest.approx(theirs[:, 2].tolist())
    assert [len(step.groups) for step in ours] == theirs[:, 3].astype(int).tolist()


def test_numbers_without_rows_are_passed_over_and_the_lowest_number_comes_first() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 0.99]])
    steps = average_linkage(rows, torch.tensor([2, 9, 4]))
    assert [step.groups for step in steps] == [(4, 9), (2, 4, 9)]


def test_one_group_merges_with_nothing() -> None:
    assert average_linkage(torch.ones(3, 2), torch.tensor([1, 1, 1])) == []
