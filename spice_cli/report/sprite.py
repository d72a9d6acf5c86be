"""Many small pictures as one, so that a page of thousands opens at once."""

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

QUALITY = 82
GRAY = 128.0


@dataclass(frozen=True)
class Sprite:
    """Pictures in rows of `columns`, each `side` pixels wide and high."""

    jpeg: str
    """In base64."""
    side: int
    columns: int
    count: int


def sprite(pictures: Iterable[Tensor], count: int, side: int) -> Sprite:
    """Lay `count` pictures, in parts (n, 3, side, side) uint8, out in a square; 1 or more."""
    columns = math.ceil(math.sqrt(count))
    sheet = torch.zeros(3, -(-count // columns) * side, columns * side, dtype=torch.uint8)
    place = 0
    for part in pictures:
        for picture in part:
            top, left = place // columns * side, place % columns * side
            sheet[:, top : top + side, left : left + side] = picture
            place += 1
    return Sprite(_jpeg(sheet), side, columns, count)


def thumbnails(images: Tensor, side: int) -> Tensor:
    """Fit images (n, 3, h, w) uint8 into (n, 3, side, side); small ones are enlarged in blocks.

    What is not square keeps its shape, between gray bars.
    """
    high, wide = images.shape[-2:]
    if high == wide == side:
        return images.cpu()
    scale = side / max(high, wide)
    size = max(1, round(high * scale)), max(1, round(wide * scale))
    if scale < 1:
        pixels = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
    else:
        pixels = F.interpolate(images.float(), size, mode="nearest-exact")
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    room = (left, side - size[1] - left, top, side - size[0] - top)
    return F.pad(pixels, room, value=GRAY).round_().clamp_(0, 255).to(torch.uint8).cpu()


def _jpeg(picture: Tensor) -> str:
    buffer = io.BytesIO()
    pixels = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    pixels.save(buffer, format="JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode()
