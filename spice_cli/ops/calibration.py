"""How far confidence can be believed."""

import torch
from torch import Tensor


def expected_calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """Return how far confidence (n,) is from the share that is `right` (n,) bool, within 0 and 1.

    Samples fall into `bins` bins of equal width, of which the b-th holds the confidences above
    (b - 1) / bins and up to b / bins; the distances between a bin's mean confidence and its share
    of right samples are weighted by how many it holds (https://arxiv.org/abs/1706.04599,
    equation 3). Raises ValueError for no samples or other shapes.
    """
    if confidence.shape != right.shape or confidence.ndim != 1 or not len(confidence):
        shapes = f"{tuple(confidence.shape)} and {tuple(right.shape)}"
        raise ValueError(f"confidence and right must both be (n,) with n >= 1, got {shapes}")
    sure = confidence.double().contiguous()
    edges = torch.arange(1, bins, dtype=torch.float64, device=sure.device) / bins
    place = torch.bucketize(sure, edges)
    gap = torch.zeros(bins, dtype=torch.float64, device=sure.device)
    gap.index_add_(0, place, sure - right.double())
    return float(gap.abs().sum() / len(sure))
