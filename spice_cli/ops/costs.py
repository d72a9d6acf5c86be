"""What training takes: updates, images, bytes. Plain arithmetic on sizes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

FLOAT = 4
"""Bytes of a float32."""


def batch_for(images: int, most: int, share: int = 4) -> int:
    """Return a power of two, at most `most` and one of `share` parts of the images, at least 2."""
    limit = max(2, min(most, images // share))
    return 1 << (limit.bit_length() - 1)


def epochs_for(images: int, batch: int, updates: int, *, least: int, most: int) -> int:
    """Return how many epochs make that many updates, within `least` and `most`."""
    each = max(1, images // batch)
    return min(max(math.ceil(updates / each), least), most)


def affordable(seconds: float, each: float, *, least: int) -> int:
    """Return how many things of `each` seconds fit in `seconds`, but not less than `least`."""
    return max(least, int(seconds / max(each, 1e-9)))


def image_bytes(images: int, side: int) -> int:
    """Return the bytes of uint8 images (n, 3, side, side)."""
    return 3 * images * side**2


def feature_bytes(images: int, features: int, views: int) -> int:
    """Return the bytes of embeddings (n, d) and of as many weak and strong views of them."""
    return FLOAT * images * features * (1 + 2 * views)


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors.values())


class Saved:
    """Counts the bytes of what a forward pass keeps for its backward pass, each storage once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda saved: saved)

    @property
    def bytes(self) -> int:
        """The bytes so far."""
        return sum(self._seen.values())

    def __enter__(self) -> "Saved":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor
