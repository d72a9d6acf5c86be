"""One encoded image to RGB pixels."""

import logging
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
    with _open(source) as opened:
        image = _rgb(ImageOps.exif_transpose(opened))
    if image.size != (side, side):
        width, height = image.size
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        square = image.crop((left, top, left + short, top + short))
        image = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def _open(source: bytes | Path) -> Image.Image:
    return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(f"pixel values are outside of [0, {top:g}]")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))
