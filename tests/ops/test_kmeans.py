import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from torch import Tensor

from spice_cli.ops.kmeans import kmeans
from spice_cli.ops.kmeans_lloyd import BLOCK_BYTES
from spice_cli.ops.metrics import accuracy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits() -> Tensor:
    return torch.tensor(load_digits().data, dtype=torch.float32)


def blobs(n: int = 900, k: int = 12, d: int = 8) -> tuple[Tensor, Tensor]:
    x, y = make_blobs(n, d, centers=k, cluster_std=2.0, random_state=0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


@pytest.mark.parametrize("x, k", [(digits(), 10), (blobs()[0], 12), (blobs()[0] + 1e3, 12)])
def test_inertia_is_within_one_percent_of_scikit_learns(x: Tensor, k: int) -> None:
    oracle = KMeans(k, n_init=10, random_state=0).fit(x.numpy()).inertia_
    found = kmeans(x, k, generator=seeded(), spherical=False)
    assert found.inertia <= 1.01 * oracle


@pytest.mark.parametrize("spherical", [False, True])
def test_result_is_consistent(spherical: bool) -> None:
    x = digits()
    found = kmeans(x, 10, generator=seeded(), spherical=spherical)
    points = F.normalize(x) if spherical else x
    squared = torch.cdist(points.double(), found.centers.double()).square()
    assert torch.equal(squared.argmin(1), found.labels)
    assert found.inertia == pytest.approx(float(squared.amin(1).sum()), rel=1e-5)
    means = torch.stack([points[found.labels == c].mean(0) for c in range(10)])
    means = F.normalize(means) if spherical else means
    torch.testing.assert_close(found.centers, means, atol=0.05 * float(points.std()), rtol=0)


def test_spherical_ignores_the_length_of_rows() -> None:
    x, y = blobs(300, 4)
    scale = torch.rand(300, 1, generator=seeded()) + 0.1
    found = kmeans(x * scale, 4, generator=seeded())
    assert accuracy(found.labels, y) > 0.95
    torch.testing.assert_close(found.centers.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("spherical", [False, True])
def test_same_seed_gives_the_same_bits(spherical: bool) -> None:
    x, _ = blobs()
    first, same = (kmeans(x, 12, generator=seeded(3), spherical=spherical) for _ in range(2))
    assert torch.equal(first.labels, same.labels)
    assert torch.equal(first.centers, same.centers)
    assert first.inertia == same.inertia


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randint(-9, 10, (200, 4), generator=seeded()).float()
    whole = kmeans(x, 5, generator=seeded(), spherical=False)
    monkeypatch.setitem(BLOCK_BYTES, "cpu", 7 * 4 * (4 + 5 * 3))
    parts = kmeans(x, 5, generator=seeded(), spherical=False)
    assert parts.inertia == pytest.approx(whole.inertia, rel=1e-6)
    assert accuracy(parts.labels, whole.labels) == 1.0


def test_as_many_clusters_as_points_leave_nothing_over() -> None:
    x = torch.randn(12, 3, generator=seeded())
    found = kmeans(x, 12, generator=seeded(), spherical=False)
    assert sorted(found.labels.tolist()) == list(range(12))
    assert found.inertia == pytest.approx(0, abs=1e-5)


def test_one_cluster_is_the_mean() -> None:
    x = digits()
    found = kmeans(x, 1, generator=seeded(), spherical=False)
    torch.testing.assert_close(found.centers[0], x.mean(0))
    assert found.labels.unique().tolist() == [0]


def test_few_distinct_points_are_all_found() -> None:
    x = torch.eye(4).repeat(50, 1)
    found = kmeans(x, 4, generator=seeded(), restarts=1)
    assert torch.bincount(found.labels).tolist() == [50] * 4
    assert found.inertia == pytest.approx(0, abs=1e-4)


def test_fewer_distinct_points_than_clusters_end_without_error() -> None:
    found = kmeans(torch.ones(6, 2), 3, generator=seeded())
    assert found.inertia == pytest.approx(0, abs=1e-5)
    assert found.labels.shape == (6,)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("coarse", [torch.float32, torch.bfloat16])
def test_what_began_on_a_sample_is_a_fixed_point_of_all_rows(
    monkeypatch: pytest.MonkeyPatch, spherical: bool, coarse: torch.dtype
) -> None:
    x, _ = blobs(3000)
    whole = kmeans(x, 12, generator=seeded(), spherical=spherical)
    monkeypatch.setattr("spice_cli.ops.kmeans.SAMPLE", 500)
    monkeypatch.setattr("spice_cli.ops.kmeans.multiplies_bf16", lambda _: coarse is torch.bfloat16)
    found = kmeans(x, 12, generator=seeded(), spherical=spherical)
    assert found.inertia <= 1.01 * whole.inertia
    points = (F.normalize(x) if spherical else x).double()
    means = torch.stack([points[found.labels == c].mean(0) for c in range(12)])
    means = F.normalize(means) if spherical else means
    moved = (means - found.centers).square().sum()
    assert moved <= 1.1e-4 * points.var(0, correction=0).mean()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_cluster_as_their_float32(dtype: torch.dtype) -> None:
    x = blobs()[0].to(dtype)
    found = kmeans(x, 12, generator=seeded())
    same = kmeans(x.float(), 12, generator=seeded())
    assert torch.equal(found.labels, same.labels)
    assert torch.equal(found.centers, same.centers)


def test_features_stay_as_they_were() -> None:
    x, _ = blobs()
    before = x.clone()
    kmeans(x, 12, generator=seeded())
    assert torch.equal(x, before)


def test_a_row_of_zeros_has_a_cluster_too() -> None:
    x = torch.cat([torch.eye(4).repeat(5, 1), torch.zeros(1, 4)])
    found = kmeans(x, 4, generator=seeded())
    assert torch.isfinite(found.centers).all()
    assert found.inertia == pytest.approx(1, abs=0.2)


def test_an_empty_cluster_starts_again_at_the_farthest_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    bad = torch.tensor([[[0.1], [100.0], [200.0]]])
    monkeypatch.setattr("spice_cli.ops.kmeans.greedy_seeds", lambda *_, **__: bad - x.mean(0))
    found = kmeans(x, 3, generator=seeded(), spherical=False, restarts=1)
    assert sorted(torch.bincount(found.labels, minlength=3).tolist()) == [1, 2, 3]


@pytest.mark.parametrize("k", [0, 5])
def test_clusters_beyond_the_points_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="clusters must be within 1 and 4"):
        kmeans(torch.eye(4), k, generator=seeded())
