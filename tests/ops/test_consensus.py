from itertools import permutations, product

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from spice_cli.ops.consensus import consensus, matching, medoid


def noisy(labels: Tensor, clusters: int, wrong: float, generator: torch.Generator) -> Tensor:
    """Rename the clusters at random and give a share of the images a random one."""
    renamed = torch.randperm(clusters, generator=generator)[labels]
    random = torch.randint(clusters, labels.shape, generator=generator)
    return torch.where(torch.rand(len(labels), generator=generator) < wrong, random, renamed)


def agreement(probs: list[Tensor], orders: list[Tensor]) -> float:
    moved = [each[:, order].double() for each, order in zip(probs, orders, strict=True)]
    return sum(float((a * b).sum()) for i, a in enumerate(moved) for b in moved[i + 1 :])


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_agrees_as_well_as_the_best_of_all_permutations(seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    k, truth = 3, torch.arange(30) % 3
    labels = [noisy(truth, k, 0.4, generator) for _ in range(4)]
    probs = [
        F.softmax(2 * F.one_hot(each, k) + torch.rand(30, k, generator=generator), dim=1)
        for each in labels
    ]
    orders = [torch.tensor(order) for order in permutations(range(k))]
    best = max(agreement(probs, [orders[0], *rest]) for rest in product(orders, repeat=3))
    assert agreement(probs, matching(probs)) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("rows", [None, 10])
def test_renamed_copies_of_one_clustering_give_it_back(rows) -> None:
    generator = torch.Generator().manual_seed(0)
    probs = F.softmax(3 * torch.randn(40, 5, generator=generator), dim=1)
    copies = [probs[:, torch.randperm(5, generator=generator)] for _ in range(4)]
    found = consensus(copies, rows)
    wanted = torch.tensor(sorted(probs.T.tolist()))
    torch.testing.assert_close(torch.tensor(sorted(found.T.tolist())), wanted)


def test_it_is_better_than_each_of_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(6, (300,), generator=generator)
    labels = [noisy(truth, 6, 0.4, generator) for _ in range(9)]
    found = consensus([F.one_hot(each, 6).float() for each in labels])
    torch.testing.assert_close(found.sum(1), torch.ones(300))
    united = adjusted_rand_score(truth, found.argmax(1))
    assert united > max(adjusted_rand_score(truth, each) for each in labels) + 0.2


def test_order_of_the_parts_changes_nothing_but_the_names() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.arange(120) % 4
    probs = [F.one_hot(noisy(truth, 4, 0.3, generator), 4).float() for _ in range(5)]
    forth, back = consensus(probs).argmax(1), consensus(probs[::-1]).argmax(1)
    assert adjusted_rand_score(forth, back) == 1


def test_one_clustering_alone_is_its_own_consensus() -> None:
    probs = F.softmax(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    torch.testing.assert_close(consensus([probs]), probs)


def test_parts_with_empty_clusters_and_half_precision_are_taken() -> None:
    labels = [torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([2, 2, 2, 2, 0, 0])]
    probs = [F.one_hot(each, 3).to(torch.bfloat16) for each in labels]
    found = consensus(probs)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found[0].max() == 1


def test_parts_are_left_as_they_were() -> None:
    probs = [F.softmax(torch.randn(9, 3), dim=1) for _ in range(3)]
    before = [each.clone() for each in probs]
    consensus(probs)
    assert all(map(torch.equal, probs, before))


def test_the_medoid_is_the_labelling_that_the_others_agree_with() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(60) % 3
    labels = torch.stack([*(noisy(truth, 3, 0.5, generator) for _ in range(3)), truth])
    assert medoid(labels) == 3
    assert medoid(torch.stack([truth, truth])) == 0
