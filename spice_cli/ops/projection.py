"""Rows of many numbers as points in the plane, for people to look at."""

from importlib.util import find_spec
from typing import Literal

import torch
from scipy.linalg import eigh
from torch import Tensor

Projection = Literal["pca", "tsne", "umap"]
REDUCED = 50
"""Principal components that t-SNE and UMAP start from."""
STEPS = 500
"""Of t-SNE: later ones move points hardly any more where there are a few thousand."""


def principal(x: Tensor, components: int) -> Tensor:
    """Return the rows (n, d) on their first principal components, (n, c), largest first.

    Signs are those under which each component's largest weight is positive.
    """
    centred = x.double() - x.double().mean(0)
    d = x.shape[1]
    wanted = (max(0, d - components), d - 1)
    _, vectors = eigh((centred.T @ centred).cpu().numpy(), subset_by_index=wanted)
    basis = torch.from_numpy(vectors).to(centred).flip(1)
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    return (centred @ (basis * largest.sign())).float()


def project(x: Tensor, kind: Projection, *, seed: int = 0) -> Tensor:
    """Return points (n, 2) float32 for rows (n, d).

    t-SNE is scikit-learn's (https://jmlr.org/papers/v9/vandermaaten08a.html); UMAP
    (https://arxiv.org/abs/1802.03426) is an optional package: ImportError without it.
    """
    rows = x.detach().float().cpu()
    flat = principal(rows, 2)
    flat = torch.cat([flat, flat.new_zeros(len(flat), 2 - flat.shape[1])], 1)
    if kind == "pca" or len(rows) < 5 or bool((rows == rows[0]).all()):
        return flat
    reduced = principal(rows, min(REDUCED, rows.shape[1])).numpy()
    if kind == "umap":
        import umap

        found = umap.UMAP(random_state=seed, n_jobs=1).fit_transform(reduced)
    else:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(rows) - 1) / 3)
        start = (1e-4 * flat / flat[:, 0].std()).numpy()
        layout = TSNE(init=start, max_iter=STEPS, perplexity=perplexity, random_state=seed)
        found = layout.fit_transform(reduced)
    return torch.from_numpy(found).float()


def has_umap() -> bool:
    """Tell whether UMAP is installed."""
    return find_spec("umap") is not None


def quantized(points: Tensor) -> tuple[list[int], list[int]]:
    """Return the x and y of points (n, 2) as integers from 0 to 65535, each over its own range."""
    low, high = points.amin(0), points.amax(0)
    scaled = (points - low) / (high - low).clamp_min(1e-12) * 65535
    x, y = scaled.round().long().T.tolist()
    return x, y
