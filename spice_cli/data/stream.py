"""Encoded images to batches of pixels, decoded ahead of whoever takes them."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spice_cli.data.decode import decode

CHUNK, AHEAD = 64, 3
"""Images that one thread decodes before it looks for more work, and batches decoded ahead."""
Named = tuple[str, Path]


@dataclass(frozen=True)
class Batch:
    """Some images in the order in which they came."""

    names: tuple[str, ...]
    readable: tuple[bool, ...]
    images: Tensor
    """(m, 3, side, side) uint8 of those that can be read."""


def stream(items: Iterable[Named], side: int, size: int) -> Iterator[Batch]:
    """Yield batches of up to `size` images as `decode` makes them, whatever the files hold.

    No more than a few batches are held. Images that cannot be read are named and left out.
    """
    source, waiting = iter(items), deque[tuple[list[Named], list[Future[list[bool]]], np.ndarray]]()
    workers = max(1, torch.get_num_threads())
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            while True:
                while len(waiting) < AHEAD and (group := list(islice(source, size))):
                    pixels = np.empty((len(group), 3, side, side), np.uint8)
                    starts = range(0, len(group), CHUNK)
                    parts = [(group[i : i + CHUNK], pixels[i : i + CHUNK]) for i in starts]
                    tasks = [pool.submit(_fill, some, into) for some, into in parts]
                    waiting.append((group, tasks, pixels))
                if not waiting:
                    return
                group, tasks, pixels = waiting.popleft()
                readable = tuple(good for task in tasks for good in task.result())
                images = pixels if all(readable) else pixels[np.array(readable)]
                yield Batch(tuple(n for n, _ in group), readable, torch.from_numpy(images))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _fill(items: list[Named], into: np.ndarray) -> list[bool]:
    return [_decoded(file, row) for (_, file), row in zip(items, into, strict=True)]


def _decoded(file: Path, into: np.ndarray) -> bool:
    try:
        into[...] = decode(file, into.shape[-1])
    except Exception:  # Pillow's decoders raise nearly anything on a corrupt file
        return False
    return True
