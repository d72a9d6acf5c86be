import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from spice_cli.ops import gmm


def rows(n: int = 400, d: int = 6, k: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centers = 1.5 * torch.randn(k, d, generator=generator)
    spread = 0.3 + torch.rand(k, d, generator=generator)
    label = torch.arange(n) % k
    return centers[label] + spread[label] * torch.randn(n, d, generator=generator), label


def sklearns(x: Tensor, label: Tensor, *, tol: float, iterations: int) -> GaussianMixture:
    mine = gmm.start(x, label, 3, regularisation=1e-6)
    model = GaussianMixture(
        3,
        covariance_type="diag",
        tol=tol,
        max_iter=iterations,
        reg_covar=1e-6,
        weights_init=mine.weights.numpy(),
        means_init=mine.means.numpy(),
        precisions_init=1 / mine.variances.numpy(),
    )
    return model.fit(x.double().numpy())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("tol", "iterations"), [(1e-3, 100), (0.0, 7)])
def test_a_fit_equals_scikit_learns_from_the_same_start(tol: float, iterations: int) -> None:
    x, truth = rows()
    label = (truth + (torch.arange(len(x)) % 5 == 0)) % 3
    theirs = sklearns(x, label, tol=tol, iterations=iterations)
    ours = gmm.fit(x, label, 3, tolerance=tol, iterations=iterations)
    np.testing.assert_allclose(ours.weights.numpy(), theirs.weights_, rtol=1e-9)
    np.testing.assert_allclose(ours.means.numpy(), theirs.means_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.variances.numpy(), theirs.covariances_, rtol=1e-7)
    logs, likelihood = gmm.log_responsibilities(x, ours)
    wide = x.double().numpy()
    np.testing.assert_allclose(logs.exp().numpy(), theirs.predict_proba(wide), atol=1e-6)
    assert likelihood.item() == pytest.approx(theirs.score(wide), rel=1e-9)


def test_the_start_has_the_means_and_variances_of_the_clusters() -> None:
    x, label = rows()
    mixture = gmm.start(x, label, 3, regularisation=1e-6)
    for c in range(3):
        own = x[label == c].double()
        torch.testing.assert_close(mixture.means[c], own.mean(0))
        torch.testing.assert_close(mixture.variances[c], own.var(0, correction=0) + 1e-6)
    torch.testing.assert_close(mixture.weights, torch.bincount(label).double() / len(x))


def test_densities_are_those_of_independent_gaussians() -> None:
    x, label = rows(50)
    mixture = gmm.start(x, label, 3, regularisation=1e-6)
    found = gmm.log_joint(x.double(), mixture)
    for c in range(3):
        normal = torch.distributions.Normal(mixture.means[c], mixture.variances[c].sqrt())
        expected = mixture.weights[c].log() + normal.log_prob(x.double()).sum(1)
        torch.testing.assert_close(found[:, c], expected)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, label = rows()
    whole = gmm.fit(x, label, 3, iterations=3)
    monkeypatch.setattr(gmm, "BLOCK_BYTES", 8 * 21 * 37)
    parts = gmm.fit(x, label, 3, iterations=3)
    torch.testing.assert_close(parts.means, whole.means)
    torch.testing.assert_close(parts.variances, whole.variances)


def test_an_empty_cluster_and_a_constant_feature_stay_finite() -> None:
    x, label = rows()
    x[:, 0] = 1.0
    mixture = gmm.fit(x, label.clamp(max=1), 3)
    logs, likelihood = gmm.log_responsibilities(x, mixture)
    assert likelihood.isfinite()
    assert not logs.isnan().any()
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(len(x)))
