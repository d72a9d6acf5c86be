"""What several processes, which are threads here, make of all rows is what one makes of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from spice_cli.ops import gmm
from spice_cli.ops import kmeans as of_kmeans
from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.kmeans_seed import greedy_seeds
from spice_cli.ops.stretch import WHOLE, Stretch, rows_of

Stretches = Callable[[int, Callable[[Stretch], Any]], list[Any]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 500, k: int = 6, d: int = 8) -> Tensor:
    centers = 2 * torch.randn(k, d, generator=generator())
    return centers[torch.arange(n) % k] + torch.randn(n, d, generator=generator(1))


@pytest.mark.parametrize(("n", "world"), [(10, 1), (10, 2), (11, 4), (5, 4), (2, 3)])
def test_every_row_is_one_processs_and_all_come_back_in_order(
    stretches: Stretches, n: int, world: int
) -> None:
    whole = torch.randn(n, 3)

    def work(stretch: Stretch) -> tuple[Tensor, Tensor]:
        own = whole[stretch.of(n)]
        assert torch.equal(own, whole[rows_of(stretch, whole)])
        return own, stretch.whole(own, n)

    found = stretches(world, work)
    assert torch.equal(torch.cat([own for own, _ in found]), whole)
    assert all(torch.equal(back, whole) for _, back in found)


def test_sums_are_over_processes_and_they_agree_on_the_first_ones() -> None:
    alone, one = torch.tensor([2.0]), torch.tensor([3.0])
    WHOLE.sum(alone)
    WHOLE.agree(alone)
    assert alone == 2
    second = Stretch(1, 2, add=lambda own: own[0].add_(7), first=lambda own: own[0].fill_(5))
    second.sum(one)
    assert one == 10
    second.agree(one)
    assert one == 5


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("sample", [100, 2**14])
def test_kmeans_of_processes_is_that_of_one(
    stretches: Stretches, monkeypatch: pytest.MonkeyPatch, world: int, spherical: bool, sample: int
) -> None:
    monkeypatch.setattr(of_kmeans, "SAMPLE", sample)
    x = blobs()

    def work(stretch: Stretch) -> of_kmeans.KMeans:
        return kmeans(x, 6, generator=generator(2), spherical=spherical, stretch=stretch)

    expected = work(WHOLE)
    first, *others = stretches(world, work)
    for other in others:
        assert torch.equal(other.centers, first.centers)
        assert torch.equal(other.labels, first.labels)
        assert other.inertia == first.inertia
    assert torch.equal(first.labels, expected.labels)
    torch.testing.assert_close(first.centers, expected.centers, atol=1e-5, rtol=1e-4)
    assert first.inertia == pytest.approx(expected.inertia, rel=1e-6)


@pytest.mark.parametrize("places", [8, 512])
def test_kmeans_of_processes_that_see_others_rows_otherwise_takes_as_many_iterations(
    stretches: Stretches, places: int
) -> None:
    x = torch.randn(places, 8, generator=generator()).mul(64).round().repeat(512 // places, 1)

    def work(stretch: Stretch) -> tuple[int, Tensor]:
        seen, exchanged = 3.0 * x, []
        seen[stretch.of(len(x))] = x[stretch.of(len(x))]

        def add(tensors: list[Tensor]) -> None:
            exchanged.append(tensors)
            stretch.add(tensors)

        counted = replace(stretch, add=add)
        found = kmeans(seen, 8, generator=generator(2), spherical=False, stretch=counted)
        return len(exchanged), found.centers

    first, other = stretches(2, work)
    assert first[0] == other[0]
    assert torch.equal(first[1], other[1])


def test_a_cluster_that_runs_empty_starts_again_at_the_same_row_in_every_process(
    stretches: Stretches,
) -> None:
    x = torch.cat([blobs(60, 1), blobs(60, 1) + 20, blobs(3, 1) - 20])
    far = x.new_full((1, 8), 1e3)
    starts = torch.cat([x[:1], far, far + 1, far + 2])[None]

    def work(stretch: Stretch) -> Tensor:
        ones, origin = torch.ones(len(x), 1), torch.zeros(8)
        points = of_kmeans.Points(x, ones, origin, False, stretch)
        limit = torch.tensor(1e-6)
        return of_kmeans.lloyd(points, starts, limit=limit, iterations=50, dtype=x.dtype)[0]

    expected = work(WHOLE)
    for found in stretches(3, work):
        torch.testing.assert_close(found, expected)
    assert len(torch.cdist(x, expected[0]).argmin(1).unique()) == 4


def test_seeds_of_processes_are_those_of_one(stretches: Stretches) -> None:
    x = blobs()
    for restarts in (1, 5):

        def work(stretch: Stretch, restarts: int = restarts) -> Tensor:
            return greedy_seeds(x, 6, restarts, generator=generator(3), stretch=stretch)

        expected = work(WHOLE)
        assert all(torch.equal(found, expected) for found in stretches(3, work))


def test_a_mixture_of_processes_is_that_of_one(stretches: Stretches) -> None:
    x = blobs()
    labels = torch.arange(len(x)) % 6

    def work(stretch: Stretch) -> tuple[gmm.Mixture, Tensor, Tensor]:
        mixture = gmm.fit(x, labels, 6, stretch=stretch)
        logs, likelihood = gmm.log_responsibilities(x, mixture, stretch)
        return mixture, stretch.whole(logs, len(x)), likelihood

    expected, logs, likelihood = work(WHOLE)
    for mixture, own_logs, own_likelihood in stretches(3, work):
        for name, value in vars(expected).items():
            torch.testing.assert_close(getattr(mixture, name), value)
        torch.testing.assert_close(own_logs, logs, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(own_likelihood, likelihood)
