from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from spice_cli.data import decode as decode_module
from spice_cli.data.allowance import Allowance
from spice_cli.data.decode import decode, dimensions


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_rgb_pixels_come_out_as_they_went_in() -> None:
    pixels = noise(8, 8, 3)
    out = decode(encode(Image.fromarray(pixels)), 8)
    assert out.dtype == np.uint8
    assert np.array_equal(out, pixels.transpose(2, 0, 1))


def test_bytes_and_a_path_give_the_same(tmp_path: Path) -> None:
    content = encode(Image.fromarray(noise(9, 7, 3)))
    (tmp_path / "a.png").write_bytes(content)
    assert np.array_equal(decode(tmp_path / "a.png", 5), decode(content, 5))
    assert dimensions(content) == dimensions(tmp_path / "a.png") == (7, 9)


def test_grey_is_repeated_over_the_channels() -> None:
    pixels = noise(8, 8)
    out = decode(encode(Image.fromarray(pixels)), 8)
    assert np.array_equal(out, np.stack([pixels] * 3))


def test_transparency_is_laid_on_white() -> None:
    pixels = noise(8, 8, 4)
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    out = decode(encode(Image.fromarray(pixels)), 8)
    assert np.abs(out.transpose(1, 2, 0) - expected).max() <= 1


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 200, 10, 30])
    image.putpixel((0, 0), 1)
    out = decode(encode(image, transparency=0), 8)
    assert out[:, 0, 0].tolist() == [200, 10, 30]
    assert (out[:, 1:] == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    pixels = np.array([[0, 257, 128 * 257, 65535]] * 4, np.uint16)
    out = decode(encode(Image.fromarray(pixels)), 4)
    assert out[0, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_is_converted() -> None:
    out = decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), 8)
    assert np.abs(out.mean((1, 2)) - [255, 0, 0]).max() < 8


def test_exif_orientation_is_honoured() -> None:
    pixels = noise(8, 8, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = decode(encode(Image.fromarray(pixels), exif=exif), 8)
    assert np.array_equal(out.transpose(1, 2, 0), np.rot90(pixels, -1))


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 31), (7, 5)])
def test_the_centre_square_is_resized(width: int, height: int) -> None:
    image = Image.fromarray(noise(height, width, 3))
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    square = image.crop((left, top, left + short, top + short))
    expected = np.asarray(square.resize((10, 10), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(decode(encode(image), 10), expected)


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    out = decode(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), 8)
    assert out[:, 0, 0].tolist() == [255, 0, 0]


def test_other_formats_never_reach_a_decoder() -> None:
    content = encode(Image.new("RGB", (8, 8)), "EPS")
    with pytest.raises(OSError, match="cannot identify"):
        decode(content, 8)


MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F")


def drawn(mode: str, height: int, width: int) -> Image.Image:
    pixels = noise(height, width, 4)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1])
    if mode == "I":
        return Image.fromarray(pixels[..., 0].astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    return Image.fromarray(pixels).convert(mode)


def as_before(image: Image.Image, side: int) -> np.ndarray:
    """Convert, crop and resize the whole image, as one would."""
    image = ImageOps.exif_transpose(image)
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    square = decode_module._rgb(image).crop((left, top, left + short, top + short))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


@pytest.mark.parametrize("block", [1, 100, 2**20])
@pytest.mark.parametrize("mode", MODES)
def test_blocks_come_to_the_whole_image_whichever_way_it_stands(
    mode: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "BLOCK", block)
    for turn, (height, width) in enumerate([(9, 31), (30, 17), (24, 24)] * 3):
        exif = Image.Exif()
        exif[0x0112] = turn
        content = encode(drawn(mode, height, width), "TIFF", exif=exif)
        with Image.open(BytesIO(content)) as image:
            assert np.array_equal(decode(content, 11), as_before(image, 11))


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_no_more_than_a_block_is_converted_at_once(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, sizes = decode_module._rgb, []

    def seen(image: Image.Image) -> Image.Image:
        sizes.append(image.width * image.height)
        return plain(image)

    monkeypatch.setattr(decode_module, "_rgb", seen)
    decode(encode(Image.new(mode, (1500, 3000))), 8)
    assert max(sizes) <= decode_module.BLOCK
    assert sum(sizes) == 1500**2


def test_sixteen_bits_become_eight_by_rounding() -> None:
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    found = np.asarray(decode_module._eight_bits(Image.fromarray(values)))
    assert np.array_equal(found, np.rint(values / 257).astype(np.uint8))


def test_what_takes_more_than_is_allowed_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(Image.new("RGB", (100, 100)))
    monkeypatch.setattr(decode_module, "HELD", Allowance(4 * 100**2))
    assert decode(content, 4).shape == (3, 4, 4)
    monkeypatch.setattr(decode_module, "HELD", Allowance(4 * 100**2 - 1))
    with pytest.raises(ValueError, match="are needed"):
        decode(content, 4)


def test_a_webp_file_of_any_length_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.webp"
    file.write_bytes(encode(Image.new("RGB", (8, 8)), "WEBP"))
    assert decode(file, 8).shape == (3, 8, 8)
    with file.open("rb+") as opened:
        opened.truncate(decode_module.LARGEST + 1)
    with pytest.raises(OSError, match="cannot identify"):
        dimensions(file)


def test_what_was_decoded_is_freed_before_another_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images: list[Image.Image] = []

    class Watched(Allowance):
        """Sees at the end of a turn whether its image still has pixels."""

        @contextmanager
        def of(self, size: int) -> Iterator[None]:
            with super().of(size):
                yield
                with pytest.raises(ValueError, match="closed"):
                    images[-1].getpixel((0, 0))

    plain = decode_module._open
    monkeypatch.setattr(decode_module, "HELD", Watched(2**20))
    monkeypatch.setattr(
        decode_module, "_open", lambda source: images.append(plain(source)) or images[-1]
    )
    decode(encode(Image.new("RGB", (30, 20))), 8)
    assert len(images) == 1
