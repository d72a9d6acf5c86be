"""One encoded image to RGB pixels."""

import errno
import logging
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""The only decoders that ever see a file; Pillow's others (EPS runs a program) never do."""

logging.getLogger("PIL").addHandler(logging.NullHandler())


def dimensions(source: bytes | Path) -> tuple[int, int]:
    """Return width and height in pixels from the header alone, before any EXIF rotation.

    Raises whatever Pillow raises on what it cannot read.
    """
    with _open(source) as image:
        return image.size


def decode(source: bytes | Path, side: int) -> np.ndarray:
    """Return (3, side, side) uint8: upright, on white, the centre square resized.

    The first frame counts where there are several. 16-bit grey is scaled to 8 bits. Resizing is
    Pillow's antialiased bicubic filter. Raises whatever Pillow raises on what it cannot read.
    """
    with _open(source) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_square(_rgb(image), side)).transpose(2, 0, 1)


def _open(source: bytes | Path) -> Image.Image:
    if isinstance(source, bytes):
        return Image.open(BytesIO(source), formats=FORMATS)
    if not stat.S_ISREG(source.stat().st_mode):  # one of the others could be waited for for ever
        raise OSError(errno.EINVAL, "is no regular file", str(source))
    return Image.open(source, formats=FORMATS)


def _square(image: Image.Image, side: int) -> Image.Image:
    if image.size == (side, side):
        return image
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    square = image.crop((left, top, left + short, top + short))
    return square.resize((side, side), Image.Resampling.BICUBIC)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"pixel values are outside of [0, {top:g}]")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))
