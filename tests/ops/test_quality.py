import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from spice_cli.ops.quality import ROWS, collapsed, mean_cosine, quality, rankme, stability


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=seeded(seed)))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(2, 20), st.integers(0, 10**6))
def test_rankme_is_the_papers_equation_on_singular_values(n: int, d: int, seed: int) -> None:
    rows = unit(n, d, seed)
    values = torch.linalg.svdvals(rows.double())
    share = values / values.sum() + 1e-7
    slow = math.exp(-sum(float(p) * math.log(float(p)) for p in share))
    assert rankme(rows) == pytest.approx(slow, rel=1e-4)
    assert 1 <= rankme(rows) <= min(n, d) + 1e-6


def test_rankme_counts_the_directions_of_orthogonal_rows_and_one_of_a_line() -> None:
    assert rankme(torch.eye(7).repeat(3, 1)) == pytest.approx(7)
    assert rankme(torch.tensor([[3.0, 4.0]]).repeat(50, 1)) == pytest.approx(1, abs=1e-3)


def test_blocks_of_rows_do_not_matter_to_rankme() -> None:
    rows = unit(9000, 3)
    values = torch.linalg.svdvals(rows.double())
    share = values / values.sum()
    assert rankme(rows) == pytest.approx(float(torch.special.entr(share).sum().exp()), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_mean_cosine_is_that_of_all_pairs(n: int, seed: int) -> None:
    rows = unit(n, 4, seed)
    pairs = [float(rows[i] @ rows[j]) for i in range(n) for j in range(n) if i != j]
    assert mean_cosine(5 * rows) == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)


def test_only_features_that_tell_nothing_apart_have_collapsed() -> None:
    healthy, generator = unit(500, 16), seeded(1)
    point = F.normalize(torch.randn(1, 64, generator=generator)).repeat(300, 1)
    rounded = F.normalize((point + 1e-4 * torch.randn(300, 64, generator=generator)).bfloat16())
    opposite = torch.cat((point, -point))
    broken = torch.full((4, 4), torch.nan)
    assert not collapsed(quality(healthy, seeded()))
    for rows in (point, rounded.float(), opposite, broken, torch.zeros(4, 4)):
        assert collapsed(quality(rows, seeded()))
    assert not collapsed(quality(torch.eye(2), seeded()))


def test_a_large_set_is_described_by_rows_drawn_from_the_generator() -> None:
    rows = torch.randn(ROWS + 1000, 4, generator=seeded())
    one, again = quality(rows, seeded(3)), quality(rows, seeded(3))
    assert one == again != quality(rows, seeded(4))
    assert one["rankme"] == pytest.approx(rankme(rows), rel=1e-2)


def test_stability_is_the_mean_of_scikit_learns_scores_over_all_pairs() -> None:
    labelings = torch.randint(3, (4, 60), generator=seeded())
    pairs = [(labelings[i].numpy(), labelings[j].numpy()) for i in range(4) for j in range(i)]
    found = stability(labelings)
    assert found["ari"] == pytest.approx(sum(adjusted_rand_score(*p) for p in pairs) / 6)
    assert found["nmi"] == pytest.approx(sum(normalized_mutual_info_score(*p) for p in pairs) / 6)


def test_the_names_of_clusters_do_not_matter_and_one_labelling_is_stable() -> None:
    labels = torch.randint(4, (50,), generator=seeded())
    assert stability([labels, 3 - labels]) == {"ari": 1, "nmi": pytest.approx(1)}
    assert stability([labels]) == {"ari": 1, "nmi": 1}
