import pytest
import torch
from torch import Tensor

from spice_cli.ops.regions import mini_clusters, region_means


def slow(rows: list[Tensor], count: int, rounds: int) -> list[int]:
    rows = [row / row.norm() for row in rows]
    centers = rows[:count]
    for turn in range(rounds + 1):
        region = [int(torch.stack([row @ c for c in centers]).argmax()) for row in rows]
        if turn == rounds:
            return region
        for c in range(count):
            members = [row for row, own in zip(rows, region, strict=True) if own == c]
            if members:
                mean = torch.stack(members).sum(0)
                centers[c] = mean / mean.norm()
    raise AssertionError


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_slow_loop(seed: int) -> None:
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed))
    assert mini_clusters(x, 7, 3).tolist() == slow(list(x), 7, 3)


def test_groups_that_are_apart_are_regions() -> None:
    x = torch.eye(4).repeat(5, 1) + torch.randn(20, 4) / 50
    region = mini_clusters(x, 4)
    assert torch.equal(region, torch.arange(4).repeat(5))


def test_regions_that_run_empty_do_no_harm() -> None:
    region = mini_clusters(torch.ones(6, 3), 4)
    assert len(region.unique()) == 1


@pytest.mark.parametrize("count", [0, 7])
def test_a_count_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="within 1 and 6"):
        mini_clusters(torch.ones(6, 3), count)


def test_means_are_those_of_the_own_region() -> None:
    values = torch.randn(30, 3)
    region = torch.randint(5, (30,))
    expected = [values[region == own].mean(0) for own in region]
    torch.testing.assert_close(region_means(values, region, 5), torch.stack(expected))
