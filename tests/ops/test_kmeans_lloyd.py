import pytest
import torch
from torch import Tensor

from spice_cli.ops.kmeans_lloyd import (
    BLOCK_BYTES,
    Points,
    assign,
    distances,
    gathered_sums,
    lloyd,
    multiplied_sums,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int = 60, d: int = 5, spherical: bool = False) -> Points:
    features = torch.randn(n, d, generator=seeded()) + 1
    scale = features.norm(dim=1, keepdim=True).reciprocal() if spherical else torch.ones(n, 1)
    return Points(features, scale, (features * scale).mean(0), spherical)


def one_step(rows: Tensor, centers: Tensor) -> Tensor:
    nearest = torch.cdist(rows, centers).argmin(1)
    return torch.stack([rows[nearest == c].mean(0) for c in range(len(centers))])


@pytest.mark.parametrize("sums", [gathered_sums, multiplied_sums])
def test_sums_by_cluster_equal_an_obvious_loop(sums) -> None:
    block = torch.randn(70, 4, generator=seeded())
    members = torch.randint(5, (70, 3), generator=seeded()) + torch.tensor([0, 6, 12])
    count = torch.bincount(members.flatten(), minlength=18)
    expected = torch.zeros(18, 4)
    for row, places in zip(block, members.tolist(), strict=True):
        for place in places:
            expected[place] += row
    torch.testing.assert_close(sums(block, members, count), expected)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("rows", [7, 60])
def test_one_iteration_moves_centres_to_means(
    monkeypatch: pytest.MonkeyPatch, spherical: bool, rows: int
) -> None:
    monkeypatch.setitem(BLOCK_BYTES, "cpu", rows * 4 * (5 + 2 * 3))
    given = points(spherical=spherical)
    flat = given.at(torch.arange(60))
    start = flat[torch.randperm(60, generator=seeded())[:6]].view(2, 3, 5)
    moved, left = lloyd(given, start, limit=torch.tensor(0.0), iterations=1, dtype=torch.float32)
    assert left == 0
    for restart in range(2):
        means = one_step(flat, start[restart])
        if spherical:
            means = torch.nn.functional.normalize(means + given.origin) - given.origin
        torch.testing.assert_close(moved[restart], means, atol=1e-5, rtol=1e-5)


def test_a_restart_within_the_limit_rests_while_others_go_on() -> None:
    given = points()
    flat = given.at(torch.arange(60))
    start = flat[torch.randperm(60, generator=seeded())[:6]].view(2, 3, 5)
    zero = torch.tensor(0.0)
    done, _ = lloyd(given, start[:1], limit=zero, iterations=100, dtype=torch.float32)
    mixed = torch.cat([done, start[1:]])
    both, _ = lloyd(given, mixed, limit=zero, iterations=100, dtype=torch.float32)
    alone, _ = lloyd(given, start[1:], limit=zero, iterations=100, dtype=torch.float32)
    torch.testing.assert_close(both[0], done[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(both[1], alone[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(both[1], one_step(flat, both[1]), atol=1e-5, rtol=0)


def test_distances_and_labels_equal_those_of_all_pairs() -> None:
    given = points()
    flat = given.at(torch.arange(60))
    centers = torch.randn(4, 3, 5, generator=seeded(1))
    least = torch.cdist(flat, centers).min(2)
    found = distances(given, centers)
    torch.testing.assert_close(found, least.values.square(), atol=1e-5, rtol=1e-5)
    labels, inertia = assign(given, centers[2])
    assert torch.equal(labels, least.indices[2])
    assert float(inertia) == pytest.approx(float(least.values[2].square().sum()), rel=1e-5)
