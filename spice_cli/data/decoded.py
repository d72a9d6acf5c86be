"""Encoded images are decoded once: the pixels stay in files that later runs map into memory."""

import errno
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.data.dataset import Say, fingerprint, require_test
from spice_cli.data.decoded_key import key_of, remove_earlier
from spice_cli.data.encoded import Decoded, Item, decode_all, judge
from spice_cli.data.journal import Flush, Journal
from spice_cli.data.mapped import Mapped, create, remove
from spice_cli.data.root import home
from spice_cli.errors import InvalidError, SpiceError

SPARE = 2**28
"""Bytes that are left free on the disk."""
SMALL = 2**30
"""Bytes that memory is trusted to hold where the disk has no room."""
ELSEWHERE = "set `SPICE_DATA` to a directory on a disk with room"


def decode_once(files: Sequence[tuple[str, Path]], train: int, spec: DataSpec, say: Say) -> Decoded:
    """Return what `keep_decoded` makes of named files."""
    sources = [file for _, file in files]
    return keep_decoded(lambda: files, sources, train, len(files), spec, say)


def keep_decoded(
    items: Callable[[], Iterable[Item]],
    sources: Sequence[Path],
    train: int,
    total: int,
    spec: DataSpec,
    say: Say,
) -> Decoded:
    """Return what `decode_all` makes of `items`, out of `decoded/` in `home` where it can.

    A directory of shards there belongs to the paths, sizes and times of change of the `sources`
    that the items come from, in their order, and to the size of the images; the names of those that
    could not be read lie beside it. Whoever is killed over it leaves what was decoded, and the next
    one goes on from there. The tensor of mapped shards must not be written to. Where `home` cannot
    be written, or its disk is full and the images are few, they are decoded into memory. Errors as
    in `decode_all`; InvalidError where many images find no room.
    """
    require_test(spec, total - train)
    folder = home() / "decoded"
    kept = folder / key_of(sources, spec.size, total)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept.with_suffix(".lock").touch()
    except OSError as error:
        say(f"decoded images cannot be kept in `{folder}`: {error.strerror} ({ELSEWHERE})")
        return decode_all(items, train, total, spec, say)
    with FileLock(kept.with_suffix(".lock")):
        if (found := _recalled(kept, train, total)) is not None:
            say(f"{total:,} images of `{spec.name}` lie decoded in `{kept}`")
            judge(list(found.bad), total, spec, say)
            return found
        unfinished = kept.with_suffix(".unfinished")
        journal = Journal(kept.with_suffix(".progress"))
        try:
            room = partial(_room, unfinished, journal)
            found = decode_all(items, train, total, spec, say, room, journal)
            if journal.flush is not None:
                found = _settled(unfinished, kept, found, total, journal.flush, say)
        except SpiceError:
            remove(unfinished)
            raise
        if journal.flush is None or found.mark is not None:
            kept.with_suffix(".progress").unlink(missing_ok=True)
    if found.mark is not None:
        with suppress(OSError):
            if freed := remove_earlier(folder, sources, spec.size, total):
                say(f"removed {freed / 2**20:,.1f} MiB of them that an earlier version decoded")
    return found


def _recalled(folder: Path, train: int, total: int) -> Decoded | None:
    try:
        left, mark, shape, check = json.loads(folder.with_suffix(".json").read_text("utf-8"))
        if check != _check(left, mark, shape) or shape[:2] != [total, 3] or len(shape) != 4:
            return None
        bad = {int(at): str(name) for at, name in left}
        images = Mapped(folder, math.prod(shape), write=False).array().reshape(shape)
    except (OSError, ValueError, TypeError):
        return None
    kept = [index for index in range(total) if index not in bad]
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        mapped: Tensor = torch.from_numpy(images)[: len(kept)]
    if fingerprint(mapped) != mark:
        return None
    readable = sum(index < train for index in kept)
    return Decoded(mapped, readable, torch.tensor(kept), tuple(bad.values()), mark)


def _room(folder: Path, journal: Journal, shape: tuple[int, ...]) -> np.ndarray:
    needed, found = math.prod(shape), None
    with suppress(OSError, ValueError):
        found = Mapped(folder, needed, write=True)
    if found is None:
        remove(folder)
        try:
            found = _shards(folder, needed)
        except OSError as error:
            journal.file = None
            if needed <= SMALL:
                return np.empty(shape, np.uint8)
            raise _refused(folder.parent, needed, error) from None
    journal.flush = found.flush
    return found.array().reshape(shape)


def _shards(folder: Path, needed: int) -> Mapped:
    """Make shards; OSError where there is no room for them, or they cannot be mapped."""
    if needed + SPARE > shutil.disk_usage(folder.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return create(folder, needed)


def _refused(folder: Path, needed: int, error: OSError) -> InvalidError:
    why = f"cannot hold them: {(error.strerror or type(error).__name__).lower()}"
    if error.errno == errno.ENOSPC:
        why = f"has {shutil.disk_usage(folder).free / 2**30:.1f} GiB left"
    return InvalidError(
        f"decoded images need {needed / 2**30:.1f} GiB in `{folder}`, which {why}",
        hint=f"{ELSEWHERE}, or make the images smaller with `--size`",
    )


def _check(left: Sequence[Sequence[object]], mark: str, shape: Sequence[int]) -> str:
    return sha256(json.dumps([left, mark, shape]).encode()).hexdigest()


def _settled(
    unfinished: Path, kept: Path, found: Decoded, total: int, flush: Flush, say: Say
) -> Decoded:
    """Keep what was decoded, with its fingerprint.

    Where that fails, this process has it all the same, and the next goes on from the journal.
    """
    try:
        return replace(found, mark=_settle(unfinished, kept, found, total, flush))
    except OSError as error:
        say(f"decoded images cannot be kept in `{kept.parent}`: {error.strerror} ({ELSEWHERE})")
        return found


def _settle(unfinished: Path, kept: Path, found: Decoded, total: int, flush: Flush) -> str:
    readable = set(found.kept.tolist())
    missing = [index for index in range(total) if index not in readable]
    left, mark = list(zip(missing, found.bad, strict=True)), fingerprint(found.images)
    shape = [total, *found.images.shape[1:]]
    notes = json.dumps([left, mark, shape, _check(left, mark, shape)])
    remove(kept)
    beside = kept.with_suffix(".partial")
    beside.write_text(notes, encoding="utf-8")
    beside.replace(kept.with_suffix(".json"))
    flush(0, math.prod(shape))
    unfinished.replace(kept)
    return mark
