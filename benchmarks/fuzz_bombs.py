"""Images of a few bytes that claim, or really unpack to, very many pixels."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

SIDE = 9_400
"""Pixels of a side: nearly as many as Pillow takes for no bomb."""


def bomb(draw: random.Random) -> bytes:
    """Draw one: whole, or a PNG of which some pixels are there."""
    if draw.random() < 0.5:
        return whole(draw.choice(list(WHOLE)))
    side, kind = draw.choice([9_000, 20_000, 2**31 - 1]), draw.choice([0, 2, 6])
    return _framed(side, 8, kind, zlib.compress(bytes(10_000_000), 9))


@cache
def whole(kind: str) -> bytes:
    """Make one of which every pixel is there."""
    return WHOLE[kind]()


def _framed(side: int, depth: int, kind: int, body: bytes, more: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
    parts = _chunk(b"IHDR", head) + more + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _chunk(name: bytes, content: bytes) -> bytes:
    mark = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", mark)


def _png(kind: int, depth: int, size: int, more: bytes = b"") -> Callable[[], bytes]:
    def make() -> bytes:
        packer, row = zlib.compressobj(9), bytes(1 + SIDE * size)
        body = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
        return _framed(SIDE, depth, kind, body, more)

    return make


def _saved(mode: str, kind: str, frames: int = 1, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        from PIL import Image

        out, image = io.BytesIO(), Image.new(mode, (SIDE, SIDE))
        if frames > 1:
            options["save_all"] = True
            options["append_images"] = [Image.new(mode, (SIDE, SIDE), n) for n in range(1, frames)]
        image.save(out, kind, **options)
        return out.getvalue()

    return make


WHOLE: dict[str, Callable[[], bytes]] = {
    "grey": _png(0, 8, 1),
    "16-bit grey": _png(0, 16, 2),
    "grey, alpha": _png(4, 8, 2),
    "RGBA": _png(6, 8, 4),
    "16-bit RGBA": _png(6, 16, 8),
    "palette": _png(3, 8, 1, _chunk(b"PLTE", bytes(range(6))) + _chunk(b"tRNS", b"\0\xff")),
    "progressive": _saved("RGB", "JPEG", progressive=True, subsampling=0),
    "CMYK": _saved("CMYK", "JPEG"),
    "progressive CMYK": _saved("CMYK", "JPEG", progressive=True),
    "WebP": _saved("RGBA", "WEBP", lossless=True, method=0),
    "animated GIF": _saved("P", "GIF", 2),
    "floats": _saved("F", "TIFF", compression="tiff_adobe_deflate"),
    "16-bit TIFF": _saved("I;16", "TIFF", compression="tiff_adobe_deflate"),
}
