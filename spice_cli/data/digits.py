"""scikit-learn's handwritten digits: small enough to ship, real enough to cluster."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Dataset, Say
from spice_cli.data.side import fit_all

TRAIN_SHARE, SPLIT_SEED = 0.8, 0


def digits(spec: DataSpec, say: Say) -> Dataset:
    """Return all 1,797 digits, 8 x 8 pixels, grey levels 0 to 16 scaled to 0 to 255.

    They have no official split. Protocol `whole` keeps scikit-learn's order; `split` trains on 80 %
    of them (1,437), drawn with a fixed seed, and both parts keep scikit-learn's order.
    """
    grey = torch.from_numpy(np.rint(load_digits().images * (255 / 16)).astype(np.uint8))
    order, train = _order(len(grey), spec)
    images = grey[order, None].expand(-1, 3, -1, -1)
    return Dataset(
        images=fit_all(images, None, spec, say),
        train=train,
        classes=10,
        names=tuple("0123456789"),
        paths=None,
        bad=(),
        read_labels=lambda: torch.from_numpy(load_digits().target.astype(np.int64))[order],
    )


def _order(n: int, spec: DataSpec) -> tuple[Tensor, int]:
    if spec.protocol == "whole":
        return torch.arange(n), n
    train = int(TRAIN_SHARE * n)
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return torch.cat([shuffled[:train].sort().values, shuffled[train:].sort().values]), train
