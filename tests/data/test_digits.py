import numpy as np
import torch
from sklearn.datasets import load_digits

from spice_cli.config.data import DataSpec
from spice_cli.data.load import load

BUNCH = load_digits()


def test_whole_is_scikit_learns_digits_in_its_order() -> None:
    data = load(DataSpec(name="digits"), print)
    assert data.images.shape == (1797, 3, 8, 8)
    assert data.images.dtype == torch.uint8
    assert data.images.is_contiguous()
    expected = np.rint(BUNCH.images * 255 / 16)
    for channel in range(3):
        assert np.array_equal(data.images[:, channel].numpy(), expected)
    assert (data.n, data.train, data.classes) == (1797, 1797, 10)
    labels = data.read_labels()
    assert labels is not None
    assert labels.tolist() == BUNCH.target.tolist()


def test_split_is_the_same_every_time_and_covers_all_digits_once() -> None:
    spec = DataSpec(name="digits", protocol="split")
    data, again = load(spec, print), load(spec, print)
    assert data.train == 1437
    assert torch.equal(data.images, again.images)
    labels = data.read_labels()
    assert labels is not None
    rows = {
        (*image[0].flatten().tolist(), y)
        for image, y in zip(data.images, labels.tolist(), strict=True)
    }
    grey = np.rint(BUNCH.images * 255 / 16).astype(int).reshape(1797, -1)
    assert rows == {(*row.tolist(), y) for row, y in zip(grey, BUNCH.target.tolist(), strict=True)}


def test_digits_can_be_resized() -> None:
    assert load(DataSpec(name="digits", size=16), print).images.shape == (1797, 3, 16, 16)
