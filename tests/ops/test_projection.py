import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from spice_cli.ops.projection import principal, project, quantized


def blobs(n: int = 90, d: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = 6 * torch.randn(3, d, generator=generator)
    return centers[torch.arange(n) % 3] + torch.randn(n, d, generator=generator)


def test_principal_components_are_scikit_learns_up_to_sign() -> None:
    x = blobs()
    ours, theirs = principal(x, 3), PCA(3).fit_transform(x.double().numpy())
    assert np.allclose(ours.abs().numpy(), np.abs(theirs), atol=1e-4)


def test_their_signs_do_not_depend_on_the_rows_order() -> None:
    x = blobs()
    assert torch.allclose(principal(x, 2).flip(0), principal(x.flip(0), 2), atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_few_rows_have_points_too(n: int, d: int, kind: str) -> None:
    found = project(blobs(n, d), kind)  # type: ignore[arg-type]
    assert found.shape == (n, 2)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_equal_rows_have_points_too(kind: str) -> None:
    assert bool(project(torch.ones(20, 4), kind).isfinite().all())  # type: ignore[arg-type]


def test_tsne_keeps_blobs_apart_and_is_the_same_again() -> None:
    found = project(blobs(), "tsne")
    near = torch.cdist(found, found).fill_diagonal_(torch.inf).argmin(1)
    assert bool((near % 3 == torch.arange(90) % 3).all())
    assert torch.equal(found, project(blobs(), "tsne"))


def test_umap_is_given_the_components_and_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    class UMAP:
        def __init__(self, **settings: object) -> None:
            asked.update(settings)

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            asked["shape"] = x.shape
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    x = torch.randn(80, 70, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(project(x, "umap", seed=5), principal(x, 2), atol=1e-4)
    assert asked == {"random_state": 5, "n_jobs": 1, "shape": (80, 50)}


def test_quantized_points_reach_from_end_to_end() -> None:
    x, y = quantized(torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0]]))
    assert x == [0, 16384, 65535]
    assert y == [0, 0, 0]
