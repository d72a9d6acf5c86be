"""One encoded image to RGB pixels, in blocks of rows where it is large."""

import errno
import logging
import stat
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from spice_cli.data.allowance import Allowance
from spice_cli.data.footprint import footprint

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""The only decoders that ever see a file; Pillow's others (EPS runs a program) never do."""
LARGEST = 2**28
"""Bytes of an encoded image that are read into memory at most."""
BLOCK = 2**20
"""Pixels that are converted at once."""
HELD = Allowance(7 * 2**27)
"""For the decoders of all threads: the largest JPEG or PNG that Pillow takes for no bomb fits."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image upright, by its EXIF orientation."""
Box = tuple[int, int, int, int]

logging.getLogger("PIL").addHandler(logging.NullHandler())
# Of 32 MiB or less, each thread would keep those that were freed.
Image.core.set_block_size(2**26)  # type: ignore[attr-defined]


def dimensions(source: bytes | Path) -> tuple[int, int]:
    """Return width and height in pixels from the header alone, before any EXIF rotation.

    Raises whatever Pillow raises on what it cannot read.
    """
    with _open(source) as image:
        return image.size


def decode(source: bytes | Path, side: int) -> np.ndarray:
    """Return (3, side, side) uint8: upright, on white, the centre square resized.

    The first frame counts where there are several. 16-bit grey is scaled to 8 bits. Resizing is
    Pillow's antialiased bicubic filter. Beside what `HELD` has for all threads, one of them takes
    some bytes a pixel of a `BLOCK`. Raises whatever Pillow raises on what it cannot read, and
    ValueError for what takes more than `HELD`.
    """
    with _open(source) as image, HELD.of(footprint(image)), closing(image):
        image.load()
        turn = image.getexif().get(ExifTags.Base.Orientation)
        turn = turn if turn in TURNS else 1
        return np.asarray(_square(image, turn, side)).transpose(2, 0, 1)


def _open(source: bytes | Path) -> Image.Image:
    if isinstance(source, bytes):
        return Image.open(BytesIO(source), formats=FORMATS)
    seen = source.stat()
    if not stat.S_ISREG(seen.st_mode):  # one of the others could be waited for for ever
        raise OSError(errno.EINVAL, "is no regular file", str(source))
    large = seen.st_size > LARGEST
    formats = tuple(kind for kind in FORMATS if kind != "WEBP" or not large)  # that is read whole
    return Image.open(source, formats=formats)


def _square(image: Image.Image, turn: int, side: int) -> Image.Image:
    """Return the centre square, upright and resized: all rows across, and then all columns.

    That is how Pillow does it, which rounds to whole levels in between, so that what is resized
    across in blocks comes out the same.
    """
    if turn == 1 and image.size == (side, side):
        return _rgb(image)
    width, height = image.size if turn < 5 else image.size[::-1]
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    rows = max(1, BLOCK // short)
    if rows >= short:
        part = _rgb(_upright(image, turn, (left, top, left + short, top + short)))
        return part.resize((side, side), Image.Resampling.BICUBIC)
    across = Image.new("RGB", (side, short))
    for start in range(0, short, rows):
        end = min(start + rows, short)
        part = _rgb(_upright(image, turn, (left, top + start, left + short, top + end)))
        across.paste(part.resize((side, end - start), Image.Resampling.BICUBIC), (0, start))
    return across.resize((side, side), Image.Resampling.BICUBIC)


def _upright(image: Image.Image, turn: int, box: Box) -> Image.Image:
    """Return a box of the image as it is once it stands upright."""
    left, top, right, bottom = box if turn < 5 else (box[1], box[0], box[3], box[2])
    if turn in (2, 3, 7, 8):
        left, right = image.width - right, image.width - left
    if turn in (3, 4, 6, 7):
        top, bottom = image.height - bottom, image.height - top
    part = image.crop((left, top, right, bottom))
    return part.transpose(TURNS[turn]) if turn in TURNS else part


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"pixel values are outside of [0, {top:g}]")
    if image.mode == "F":
        return Image.fromarray(np.rint(values.astype(np.float64) * 255).astype(np.uint8))
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
