"""How much memory Pillow takes to decode an image, from its header alone."""

import math
import struct
from typing import Any

from PIL import Image

PIXEL = 4
"""Bytes of a decoded pixel: no mode has more."""
OTHER = {"WEBP": 4 * PIXEL, "PPM": 3 * PIXEL}
"""Bytes a pixel where the decoder keeps copies: two canvases and the frame; lists of values."""


def footprint(image: Image.Image) -> int:
    """Return the most bytes that loading an opened image takes, as measured with Pillow 13."""
    image_: Any = image
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO") and _in_scans(image_):
        return pixels * (PIXEL + 2 * len(image.getbands()))  # coefficients of 16 bits are kept
    if image.format == "TIFF":
        bits = image_.tag_v2.get(258, (1,))
        tile = int(image_.tag_v2.get(322, 1) * image_.tag_v2.get(323, 1))
        strip = max(pixels, tile) * math.ceil(int(sum(bits)) / 8)  # it may be the whole image
        return pixels * PIXEL + strip
    return pixels * OTHER.get(image.format or "", PIXEL)


def _in_scans(image: Any) -> bool:
    """Whether a JPEG has more scans than one: it is progressive, or its first lacks a component."""
    if image.format == "MPO" or "progressive" in image.info:
        return True
    length = 6 + 2 * image.layers
    image.fp.seek(-length, 1)  # it stands behind the header of the first scan
    return bool(image.fp.read(3) != struct.pack(">HB", length, image.layers))
