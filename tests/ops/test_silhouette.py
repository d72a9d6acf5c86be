import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import silhouette_score

from spice_cli.ops.silhouette import silhouette


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(st.integers(4, 40), st.sampled_from(["cosine", "euclidean"]), st.integers(0, 10**6))
def test_equals_scikit_learns_also_with_lonely_samples(n: int, metric: str, seed: int) -> None:
    x = torch.randn(n, 5, generator=seeded(seed))
    labels = torch.randint(6, (n,), generator=seeded(seed)) * 7 - 2
    labels[:2], labels[2] = 1, 2
    if len(labels.unique()) == n:
        return
    oracle = silhouette_score(x.double().numpy(), labels.numpy(), metric=metric)
    found = silhouette(x, labels, metric=metric, generator=seeded())
    assert found == pytest.approx(oracle, abs=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_and_size_do_not_matter(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spice_cli.ops.neighbors.BLOCK_BYTES", 2**20)
    x, y = load_digits(return_X_y=True)
    found = silhouette(torch.tensor(x), torch.tensor(y), metric=metric, generator=seeded())
    assert found == pytest.approx(silhouette_score(x, y, metric=metric), abs=1e-4)


def test_a_sample_is_drawn_from_the_generator_and_close_to_the_whole() -> None:
    x, y = (torch.tensor(v) for v in load_digits(return_X_y=True))
    whole = silhouette(x, y, generator=seeded())
    part, again = (silhouette(x, y, sample=600, generator=seeded(1)) for _ in range(2))
    assert part == again != whole
    assert part == pytest.approx(whole, abs=0.03)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_nothing_to_compare_scores_zero(labels: list[int]) -> None:
    assert silhouette(torch.eye(3), torch.tensor(labels), generator=seeded()) == 0.0


def test_identical_points_in_two_clusters_score_zero() -> None:
    assert silhouette(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), generator=seeded()) == 0.0
