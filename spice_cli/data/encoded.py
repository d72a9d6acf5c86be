"""Many encoded images to one tensor, with the unreadable ones found, counted and named."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spice_cli.catalog import DATASETS
from spice_cli.config.data import DataSpec
from spice_cli.cores import cores
from spice_cli.data.attempt import attempt
from spice_cli.data.dataset import Say, require_test
from spice_cli.data.decode import decode, dimensions
from spice_cli.data.journal import Journal
from spice_cli.data.side import Sizes, choose_side
from spice_cli.errors import InvalidError, MissingError

T = TypeVar("T")
Room = Callable[[tuple[int, ...]], np.ndarray]
"""Makes the uint8 array of a shape that decoded images are written to."""
Item = tuple[str, bytes | Path | None]
"""What to call an image, and where it is: its file, its bytes, or nowhere."""
READING = "reading"
"""What is said begins with it where images are decoded, not taken from where they lie decoded."""
CHUNK, SHOWN = 64, 5
AHEAD = 2**27
"""Bytes of encoded images that are held for all threads, but for the last of them."""
MOST_BAD = 0.5
"""Share of a person's own images that may be unreadable before something else must be wrong."""


@dataclass(frozen=True)
class Decoded:
    """`images` (m, 3, side, side) uint8, of which the first `train` are train images.

    `kept` (m,) int64 says which of the encoded images they are; `bad` names the others.
    """

    images: Tensor
    train: int
    kept: Tensor
    bad: tuple[str, ...]
    mark: str | None = None
    """The fingerprint of `images`, where they were checked against it."""


def _memory(shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.uint8)


def decode_all(
    items: Callable[[], Iterable[Item]],
    train: int,
    total: int,
    spec: DataSpec,
    say: Say,
    room: Room = _memory,
    journal: Journal | None = None,
) -> Decoded:
    """Decode the `total` images that `items()` yields, the first `train` of them train images.

    `items` is called twice where the size must be found first. No more than a few hundred encoded
    or decoded images are held beside the result, which lies in what `room` makes. What `journal`
    says of that is not decoded again. Errors as in `judge`; MissingError where there are none;
    UsageError where `split` has nothing to test on; InvalidError for a file that the system does
    not give, unless `spec.skip_bad`.
    """
    require_test(spec, total - train)
    if not total:
        raise MissingError(f"`{spec.name}` holds no images", hint="check what is in it")
    say(f"{READING} {total:,} images from `{spec.name}`")
    side = spec.size or choose_side(*_sizes(items, train, spec), spec, say)
    try:
        images = room((total, 3, side, side))
    except (MemoryError, ValueError):
        needed = total * 3 * side**2 / 2**30
        hint = "make the images smaller with `--size 96`"
        raise InvalidError(
            f"the images do not fit in memory: {needed:.0f} GiB", hint=hint
        ) from None
    journal = journal or Journal(None)
    journal.resume(images)
    if journal.read:
        say(f"{journal.read:,} of them are decoded already")
    bad = list(journal.bad)
    read, kept = journal.read, journal.kept
    function = partial(decode, side=side)
    for name, pixels in _each(islice(items(), read, None), function, skip=spec.skip_bad):
        if pixels is None:
            bad.append((read, name))
        else:
            images[kept] = pixels
            kept += 1
        read += 1
        if journal.due(read, images):
            journal.add(read, bad, images)
    judge([name for _, name in bad], total, spec, say)
    unreadable = {index for index, _ in bad}
    found = [index for index in range(total) if index not in unreadable]
    return Decoded(
        images=torch.from_numpy(images[:kept]),
        train=sum(index < train for index in found),
        kept=torch.tensor(found),
        bad=tuple(name for _, name in bad),
    )


def _sizes(items: Callable[[], Iterable[Item]], train: int, spec: DataSpec) -> tuple[Sizes, Sizes]:
    sizes: tuple[Sizes, Sizes] = set(), set()
    for index, (_, size) in enumerate(_each(items(), dimensions, skip=spec.skip_bad)):
        if size is not None:
            sizes[index >= train].add(size)
    if not any(sizes):
        raise _nothing(spec)
    return sizes


def judge(bad: list[str], total: int, spec: DataSpec, say: Say) -> None:
    """Say which of the `total` images were left out because they cannot be read.

    Raises InvalidError where none can, and unless `spec.skip_bad` where more than `MOST_BAD` of
    them cannot, or any of a data set that goes by a name.
    """
    if not bad:
        return
    if len(bad) == total:
        raise _nothing(spec)
    some = ", ".join(f"`{name}`" for name in bad[:SHOWN]) + (", ..." if bad[SHOWN:] else "")
    most = 0 if spec.name in DATASETS else MOST_BAD * total
    if len(bad) > most and not spec.skip_bad:
        raise InvalidError(
            f"{len(bad):,} of {total:,} images cannot be read: {some}",
            hint="leave them out with `--skip-bad`",
        )
    say(f"warning: left out {len(bad):,} of {total:,} images that cannot be read: {some}")


def _nothing(spec: DataSpec) -> InvalidError:
    return InvalidError(f"no image in `{spec.name}` can be read")


def _each(
    items: Iterable[Item], function: Callable[[bytes | Path], T], *, skip: bool
) -> Iterator[tuple[str, T | None]]:
    stream = iter(items)
    workers = cores()
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        while chunks := _taken(stream, workers):
            parts = pool.map(partial(_chunk, function, skip), chunks)
            del chunks
            for results in parts:
                yield from results
            del parts


def _taken(stream: Iterator[Item], workers: int) -> list[list[Item]]:
    """Take a chunk for each worker, smaller ones where they come to `AHEAD` bytes before."""
    group: list[Item] = []
    held = 0
    for name, source in islice(stream, CHUNK * workers):
        group.append((name, source))
        held += len(source) if isinstance(source, bytes) else 0
        if held >= AHEAD:
            break
    size = -(-len(group) // workers) if held >= AHEAD else CHUNK
    return [group[start : start + size] for start in range(0, len(group), size)]


def _chunk(
    function: Callable[[bytes | Path], T], skip: bool, items: list[Item]
) -> list[tuple[str, T | None]]:
    return [(name, attempt(function, source, skip)) for name, source in items]
