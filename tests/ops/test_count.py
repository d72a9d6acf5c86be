import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.ops.count import candidates, count, silhouette, steps, strength


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(k: int, n: int, noise: float = 0.5, d: int = 16) -> Tensor:
    draw = generator(k)
    centers = F.normalize(torch.randn(k, d, generator=draw))
    return F.normalize(centers[torch.arange(n) % k] + noise * torch.randn(n, d, generator=draw) / 4)


@pytest.mark.parametrize(("k", "tried"), [(3, range(2, 7)), (7, range(5, 10)), (20, range(18, 23))])
def test_the_number_of_well_separated_blobs_is_found(k: int, tried: range) -> None:
    found = count(blobs(k, 40 * k), generator(), tried=tried, pairs=2)
    assert found.best == k
    assert found.least <= k <= found.most
    assert found.evident


@pytest.mark.parametrize("noise", [0.2, 2.0, 100.0])
def test_a_single_blob_is_no_evidence_of_clusters(noise: float) -> None:
    found = count(blobs(1, 300, noise), generator(), tried=range(2, 9), pairs=2)
    assert not found.evident


def test_the_curve_has_a_value_and_a_deviation_for_each_number_and_is_the_same_again() -> None:
    x, told = blobs(3, 90), []
    found = count(x, generator(), tried=[2, 3, 5], pairs=2, progress=told.append)
    assert found.clusters == (2, 3, 5)
    assert len(found.silhouette) == len(found.strength) == len(found.cloud) == 3
    assert all(0 <= mean <= 1 and spread >= 0 for mean, spread in found.strength)
    assert sum(told) == steps([2, 3, 5], pairs=2)
    assert found == count(x, generator(), tried=[2, 3, 5], pairs=2)


def test_more_clusters_than_a_half_has_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="12 clusters are too many for halves of 10 rows"):
        count(blobs(3, 20), generator(), tried=[2, 12])


def test_silhouettes_compare_the_distance_to_the_own_centre_and_to_the_next() -> None:
    centers = torch.eye(2)
    rows = F.normalize(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    near, far = (0.0, 1.0), (1 - 0.8, 1 - 0.6)
    expected = sum((b - a) / max(a, b) for a, b in (near, far)) / 2
    assert silhouette(rows, 5 * centers) == pytest.approx(expected)


def test_strength_is_the_share_of_pairs_kept_in_the_worst_cluster() -> None:
    own = F.normalize(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    others = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    rows = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0.5], [0, 0, 1], [0, 0.1, 1]])
    assert strength(F.normalize(rows), own, F.normalize(others)) == pytest.approx(1 / 3)
    assert strength(F.normalize(rows), own, own) == 1


@pytest.mark.parametrize(
    ("rows", "most", "last"),
    [(100, None, 5), (1797, None, 30), (1797, 80, 80), (1797, 200, 89), (30, None, 3)],
)
def test_numbers_are_tried_up_to_one_for_twenty_rows(
    rows: int, most: int | None, last: int
) -> None:
    tried = candidates(rows, most)
    assert tried[0] == 2
    assert tried[-1] == last
    assert tried == sorted(set(tried))
    assert tried[: min(last, 20) - 1] == list(range(2, min(last, 20) + 1))
