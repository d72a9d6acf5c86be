from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spice_cli.ops import pseudo_labels
from spice_cli.ops.pseudo_labels import prototype_labels, prototypes


def batch(n: int, k: int, d: int, heads: int, seed: int) -> tuple[Tensor, Tensor]:
    """Small integer features and probabilities of few values: exact, and full of ties."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(-2, 3, (n, d), generator=generator).float()
    probs = torch.randint(0, 4, (heads, n, k), generator=generator).float() / 4
    return features, probs


def slow(
    features: Tensor, probs: Tensor, ratio: float, overlap: bool
) -> tuple[list[list[list[Fraction]]], list[list[list[int]]]]:
    """Equations 1 to 3, one head and one cluster at a time, in exact arithmetic."""
    n, k = probs.shape[1:]
    quota = n // k
    confident = max(1, int(ratio * quota))
    rows = [[Fraction(v) for v in row] for row in features.tolist()]
    all_centres, all_labels = [], []
    for head in probs.tolist():
        centres, labels = [], []
        used: set[int] = set()
        for c in range(k):
            free = [i for i in range(n) if overlap or i not in used]
            ids = sorted(free, key=lambda i: (-head[i][c], i))[:confident]
            used.update(ids)
            centres.append(
                [
                    sum((rows[i][j] for i in ids), Fraction(0)) / confident
                    for j in range(len(rows[0]))
                ]
            )
        used = set()
        for c in range(k):
            free = [i for i in range(n) if overlap or i not in used]
            similar = [sum(a * b for a, b in zip(row, centres[c], strict=True)) for row in rows]
            ids = sorted(free, key=lambda i: (-similar[i], i))[:quota]
            used.update(ids)
            labels.append(ids)
        all_centres.append(centres)
        all_labels.append(labels)
    return all_centres, all_labels


@settings(deadline=None)
@given(
    st.integers(2, 5),
    st.integers(0, 30),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.05, 0.3, 0.5, 1.0]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_equals_the_equations_with_ties(
    k: int, extra: int, d: int, heads: int, ratio: float, overlap: bool, seed: int
) -> None:
    features, probs = batch(k + extra, k, d, heads, seed)
    centres, labels = slow(features, probs, ratio, overlap)
    assert prototype_labels(features, probs, ratio=ratio, overlap=overlap).tolist() == labels
    torch.testing.assert_close(
        prototypes(features, probs, ratio, overlap=overlap),
        torch.tensor([[[float(v) for v in row] for row in head] for head in centres]),
    )


def test_the_papers_toy_example_gives_three_samples_to_each_of_three_clusters() -> None:
    features, probs = batch(10, 3, 4, 1, 0)
    assert prototype_labels(features, probs, ratio=2 / 3).shape == (1, 3, 3)


def test_without_overlap_no_sample_has_two_labels() -> None:
    features, probs = batch(23, 4, 2, 3, 1)
    for head in prototype_labels(features, probs, ratio=0.5, overlap=False):
        assert len(set(head.flatten().tolist())) == 4 * (23 // 4)


def test_prototypes_repair_unsure_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    x = F.normalize(torch.eye(3)[labels] + 0.05 * torch.randn(300, 3, generator=generator))
    probs = (F.one_hot(labels, 3).float() * 0.4 + 0.2)[None]
    index = prototype_labels(x, probs, ratio=0.5)
    assert torch.equal(labels[index[0]], torch.arange(3)[:, None].expand(3, 100))


def test_fewer_samples_than_clusters_are_refused() -> None:
    features, probs = batch(3, 4, 2, 1, 0)
    with pytest.raises(ValueError, match="3 samples cannot be shared by 4 clusters"):
        prototype_labels(features, probs, ratio=0.5)


@pytest.mark.parametrize("scores", [1, 100, 10**9])
def test_how_many_scores_are_compared_at_a_time_changes_nothing(
    scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, probs = batch(23, 5, 4, 3, seed=0)
    expected = prototype_labels(features, probs, ratio=0.5)
    monkeypatch.setattr(pseudo_labels, "SCORES", scores)
    assert torch.equal(prototype_labels(features, probs, ratio=0.5), expected)
