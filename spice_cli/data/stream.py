"""Encoded images to batches of pixels, and what is made of these, in several threads at once."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spice_cli.data.decode import decode

QUICK = 0.0005
"""Seconds an image: below that, threads that decode at once only wait for Python's one lock."""
AHEAD = 2
"""Batches that each thread may be ahead of whoever takes them."""
Named = tuple[str, Path]
T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Some images in the order in which they came."""

    names: tuple[str, ...]
    readable: tuple[bool, ...]
    images: Tensor
    """(m, 3, side, side) uint8 of those that can be read."""


def stream(
    items: Iterable[Named], side: int, size: int, make: Callable[[Batch], T], threads: int
) -> Iterator[T]:
    """Yield what `make` makes of batches of up to `size` images, in order.

    Each thread decodes a batch as `decode` does, whatever the files hold, and goes on to `make`; no
    more than a few batches are held. Images that cannot be read are named and left out.
    """
    source, waiting, turns = iter(items), deque[Future[T]](), Turns()
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            while True:
                while len(waiting) < AHEAD * threads and (group := list(islice(source, size))):
                    waiting.append(pool.submit(_made, group, side, make, turns))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Turns:
    """Lets threads take turns while what they do is quick, and go on at once where it is not."""

    def __init__(self) -> None:
        self.turn, self.quick = Lock(), True

    @contextmanager
    def of(self, images: int) -> Iterator[None]:
        """Wait for one's turn, and learn how quick so many images are."""
        with self.turn if self.quick else nullcontext():
            started = time.perf_counter()
            yield
            self.quick = time.perf_counter() - started < QUICK * images


def _made(group: list[Named], side: int, make: Callable[[Batch], T], turns: Turns) -> T:
    pixels = np.empty((len(group), 3, side, side), np.uint8)
    with turns.of(len(group)):
        good = [_decoded(file, into) for (_, file), into in zip(group, pixels, strict=True)]
    images = pixels if all(good) else pixels[np.array(good)]
    return make(Batch(tuple(name for name, _ in group), tuple(good), torch.from_numpy(images)))


def _decoded(file: Path, into: np.ndarray) -> bool:
    try:
        into[...] = decode(file, into.shape[-1])
    except Exception:  # Pillow's decoders raise nearly anything on a corrupt file
        return False
    return True
