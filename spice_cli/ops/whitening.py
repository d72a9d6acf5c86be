"""Features whose directions all vary alike, so that none drowns the others.

Contrastive features vary along few directions. This is zero-phase component analysis, regularised
(https://doi.org/10.1080/00031305.2016.1277159): x goes to (x - mean) V (L + s max L)^(-1/2) V',
with V and L the eigenvectors and eigenvalues of the covariance and s the share `shrinkage`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 1e-24
"""Variance below which rows are taken to be equal."""


@dataclass(frozen=True)
class Whitening:
    """An affine map of rows (..., d)."""

    mean: Tensor
    """(d,)"""
    matrix: Tensor
    """(d, d)"""

    def __call__(self, rows: Tensor) -> Tensor:
        """Whiten rows (..., d)."""
        return (rows - self.mean) @ self.matrix


def whitening(rows: Tensor, shrinkage: float) -> Whitening:
    """Return what whitens rows (n, d), and scales them to a mean square length of 1.

    Statistics are float64. `shrinkage` above 0; the smaller, the more directions count alike.
    """
    x = rows.double()
    mean = x.mean(0)
    centred = x - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    values = values.clamp_min(0)
    spread = (values + shrinkage * values[-1]).clamp_min(LEAST).rsqrt()
    length = (values * spread.square()).sum().clamp_min(LEAST).sqrt()
    matrix = vectors @ torch.diag(spread / length) @ vectors.T
    return Whitening(mean.to(rows.dtype), matrix.to(rows.dtype))
