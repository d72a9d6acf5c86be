import hashlib

import numpy as np
import pytest
import torch

from spice_cli.data.dataset import as_labels, fingerprint
from spice_cli.errors import InvalidError


def test_the_fingerprint_is_the_sha256_of_shape_then_bytes() -> None:
    images = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2)
    expected = hashlib.sha256(b"(2, 3, 2, 2)" + images.numpy().tobytes()).hexdigest()
    assert fingerprint(images) == expected


def test_the_fingerprint_tells_shapes_pixels_and_order_apart() -> None:
    images = torch.arange(96, dtype=torch.uint8).reshape(2, 3, 4, 4)
    others = [images.flip(0), images + 1, images.reshape(8, 3, 2, 2), images[:1]]
    assert len({fingerprint(other) for other in [images, *others]}) == 5


def test_the_fingerprint_ignores_memory_layout() -> None:
    images = torch.arange(96, dtype=torch.uint8).reshape(2, 3, 4, 4)
    assert fingerprint(images.contiguous(memory_format=torch.channels_last)) == fingerprint(images)


def test_negative_labels_become_minus_one_and_only_negatives_none() -> None:
    labels = as_labels(np.array([3, -7, 0], np.int8), "labels")
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.tolist() == [3, -1, 0]
    assert as_labels(np.array([-1, -2]), "labels") is None


@pytest.mark.parametrize("values", [np.array([0.5]), np.array([[1]]), np.array(["cat"])])
def test_labels_that_are_no_row_of_integers_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InvalidError, match="labels of `x`"):
        as_labels(values, "labels of `x`")
