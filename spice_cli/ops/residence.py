"""Where images lie, on the device that computes or in memory, and how a batch gets there.

Indexing and copying change no byte, so results are the same wherever images lie.
"""

import torch
from torch import Tensor


def fits(needed: int, free: int) -> bool:
    """Say whether `needed` bytes leave half of those that are `free` to weights and activations."""
    return 2 * needed <= free


def beside(images: Tensor, device: torch.device) -> bool:
    """Say whether images lie on devices of this kind."""
    return images.device.type == device.type


def picked(images: Tensor, rows: Tensor) -> Tensor:
    """Return the images (b, 3, h, w) at `rows` (b,), on the device where all of them lie."""
    return images[rows.to(images.device)]


def brought(images: Tensor, device: torch.device) -> Tensor:
    """Return images on the device: themselves, or a copy that the host does not wait for.

    The copy goes by way of page-locked memory, which torch keeps and uses again once it is done.
    """
    if beside(images, device):
        return images
    return images.pin_memory().to(device, non_blocking=True)


def take(images: Tensor, rows: Tensor) -> Tensor:
    """Return the images (b, 3, h, w) at `rows` (b,), on the device of the rows.

    From the host each image is read and sent once, in the order in which they lie; the rows are
    waited for.
    """
    if beside(images, rows.device):
        return images[rows]
    once, places = torch.unique(rows.cpu(), return_inverse=True)
    return brought(picked(images, once), rows.device)[places.to(rows.device)]
