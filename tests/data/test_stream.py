from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spice_cli.data.decode import decode
from spice_cli.data.stream import Batch, stream


def same(batch: Batch) -> Batch:
    return batch


def written(folder: Path, count: int) -> list[tuple[str, Path]]:
    draw, items = np.random.default_rng(0), []
    for number in range(count):
        file = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        side = 20 + number % 7
        Image.fromarray(draw.integers(0, 256, (side, 24, 3), np.uint8)).save(file)
        items.append((file.name, file))
    return items


def test_batches_hold_what_decode_makes_of_each_file_in_order(tmp_path: Path) -> None:
    items = written(tmp_path, 150)
    found = list(stream(iter(items), 16, 70, same, 3))
    assert [len(batch.images) for batch in found] == [70, 70, 10]
    assert [name for batch in found for name in batch.names] == [name for name, _ in items]
    expected = np.stack([decode(file, 16) for _, file in items])
    assert np.array_equal(torch.cat([batch.images for batch in found]).numpy(), expected)


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    items = written(tmp_path, 4)
    for name, content in (("text.png", b"hello"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        items.insert(1, (name, tmp_path / name))
    items.append(("gone", tmp_path / "gone.png"))
    items.append(("folder", tmp_path))
    (batch,) = stream(items, 8, 100, same, 2)
    assert batch.readable == (True, False, False, True, True, True, False, False)
    assert batch.images.shape == (4, 3, 8, 8)
    assert np.array_equal(batch.images[1].numpy(), decode(tmp_path / "1.png", 8))


def test_a_batch_of_which_nothing_can_be_read_is_a_batch_without_images(tmp_path: Path) -> None:
    (batch,) = stream([("gone", tmp_path / "gone")], 8, 2, same, 1)
    assert batch.images.shape == (0, 3, 8, 8)


def test_nothing_gives_nothing() -> None:
    assert list(stream([], 8, 4, same, 2)) == []


def test_no_more_is_read_ahead_than_a_few_batches(tmp_path: Path) -> None:
    items, taken = written(tmp_path, 1), []

    def endless():
        while True:
            taken.append(1)
            yield items[0]

    batches = stream(endless(), 8, 10, same, 2)
    next(batches)
    batches.close()
    assert len(taken) <= 50


def test_a_fault_of_what_is_made_of_a_batch_is_raised(tmp_path: Path) -> None:
    def broken(batch: Batch) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(stream(written(tmp_path, 3), 8, 1, broken, 2))
