import errno
import os
import threading
from collections.abc import Callable, Collection, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spice_cli.config.data import DataSpec
from spice_cli.data import decode, encoded
from spice_cli.data.encoded import Decoded, Item, decode_all
from spice_cli.errors import InvalidError, MissingError, UsageError

SPEC = DataSpec(name="x")
SKIP = DataSpec(name="x", skip_bad=True)


def png(value: int, side: int = 8) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def items(count: int, bad: Collection[int] = ()) -> list[Item]:
    return [(f"i{i}", png(i)[:40] if i in bad else png(i)) for i in range(count)]


def test_images_keep_their_order_over_chunks_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "cores", lambda: 3)
    monkeypatch.setattr(encoded, "CHUNK", 4)
    found = items(50)
    out = decode_all(lambda: found, 30, 50, SPEC, print)
    assert out.images[:, 0, 0, 0].tolist() == list(range(50))
    assert (out.train, out.bad, out.kept.tolist()) == (30, (), list(range(50)))


def most_ahead(
    monkeypatch: pytest.MonkeyPatch, found: list[Item], size: Callable[[bytes], int]
) -> tuple[Decoded, int, int]:
    """Decode images; return them, how much was decoded, and how much was taken ahead at most."""
    taken, decoded, ahead, lock = 0, 0, [0], threading.Lock()
    original = encoded.decode

    def counting(source: bytes, side: int) -> np.ndarray:
        nonlocal decoded
        with lock:
            decoded += size(source)
        return original(source, side)

    def stream() -> Iterator[Item]:
        nonlocal taken
        for name, content in found:
            assert isinstance(content, bytes)
            taken += size(content)
            ahead.append(taken - decoded)
            yield name, content

    monkeypatch.setattr(encoded, "decode", counting)
    out = decode_all(stream, len(found), len(found), DataSpec(name="x", size=8), print)
    return out, decoded, max(ahead)


def test_no_more_than_a_chunk_a_thread_is_taken_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "cores", lambda: 2)
    monkeypatch.setattr(encoded, "CHUNK", 4)
    _, decoded, ahead = most_ahead(monkeypatch, items(40), lambda content: 1)
    assert decoded == 40
    assert ahead <= 8


def test_bad_images_are_counted_and_the_first_five_named() -> None:
    found = items(20, bad=range(1, 20, 2))
    decode_all(lambda: found, 20, 20, SPEC, print)
    found = items(20, bad=(0, *range(1, 20, 2)))
    with pytest.raises(InvalidError, match="11 of 20") as caught:
        decode_all(lambda: found, 20, 20, SPEC, print)
    assert "`i0`, `i1`, `i3`, `i5`, `i7`, ..." in str(caught.value)
    assert "--skip-bad" in caught.value.hint


def test_skipped_images_leave_both_splits_aligned() -> None:
    found = [*items(10, bad=(0, 4, 8)), ("none", None)]
    said: list[str] = []
    out = decode_all(lambda: found, 6, 11, SKIP, said.append)
    assert out.images[:, 0, 0, 0].tolist() == out.kept.tolist() == [1, 2, 3, 5, 6, 7, 9]
    assert out.train == 4
    assert out.bad == ("i0", "i4", "i8", "none")
    assert "4 of 11" in said[-1]


@pytest.mark.parametrize("spec", [SPEC, SKIP, DataSpec(name="x", size=8, skip_bad=True)])
def test_nothing_readable_is_an_error_even_when_skipping(spec: DataSpec) -> None:
    found = items(3, bad=(0, 1, 2))
    with pytest.raises(InvalidError, match="no image in `x` can be read"):
        decode_all(lambda: found, 3, 3, spec, print)


def test_a_decompression_bomb_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    found = [*items(2), ("warned", png(9, 12)), ("refused", png(9, 30))]
    out = decode_all(lambda: found, 4, 4, SKIP, print)
    assert out.bad == ("warned", "refused")


def test_images_of_several_sizes_are_resized_and_it_is_said() -> None:
    said: list[str] = []
    found: list[Item] = [("a", png(1, 8)), ("b", png(2, 30))]
    out = decode_all(lambda: found, 2, 2, SPEC, said.append)
    assert out.images.shape == (2, 3, 96, 96)
    assert out.images.is_contiguous()
    assert any("2 sizes" in message for message in said)


def test_split_without_test_images_stops_before_anything_is_decoded() -> None:
    with pytest.raises(UsageError, match="no test images"):
        decode_all(lambda: 1 / 0, 5, 5, DataSpec(name="x", protocol="split"), print)  # type: ignore


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_a_file_that_the_system_does_not_give_is_no_image_to_go_on_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for index, file in enumerate(files):
        file.write_bytes(png(index))
    found: list[Item] = [(file.name, file) for file in files]
    plain = decode._open

    def refused(source: Path) -> Image.Image:
        if source == files[2]:
            raise OSError(number, os.strerror(number), str(source))
        return plain(source)

    monkeypatch.setattr(decode, "_open", refused)
    with pytest.raises(InvalidError, match=f"2.png` cannot be read: {os.strerror(number).lower()}"):
        decode_all(lambda: found, 4, 4, SPEC, print)
    assert decode_all(lambda: found, 4, 4, SKIP, print).bad == ("2.png",)


def test_no_more_bytes_than_stated_are_taken_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "AHEAD", 10_000)
    found: list[Item] = [(f"i{index}", png(index) + bytes(4_000)) for index in range(40)]
    out, _, ahead = most_ahead(monkeypatch, found, len)
    assert out.images[:, 0, 0, 0].tolist() == list(range(40))
    assert ahead < 10_000 + 4_200


def test_no_images_are_said_to_be_none() -> None:
    with pytest.raises(MissingError, match="`x` holds no images"):
        decode_all(lambda: [], 0, 0, SPEC, print)
