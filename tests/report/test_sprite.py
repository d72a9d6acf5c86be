import base64
import io

import torch
from PIL import Image
from torch import Tensor

from spice_cli.report.sprite import sprite, thumbnails


def colours(n: int) -> Tensor:
    return (torch.arange(n) * 20).to(torch.uint8)[:, None, None, None].expand(n, 3, 8, 8)


def test_pictures_lie_in_rows_in_their_order() -> None:
    parts = thumbnails(colours(7), 8).split(2)
    made = sprite(parts, 7, 8)
    assert (made.columns, made.count, made.side) == (3, 7, 8)
    sheet = Image.open(io.BytesIO(base64.b64decode(made.jpeg)))
    assert sheet.size == (24, 24)
    for place in range(7):
        column, row = place % 3, place // 3
        red = sheet.getpixel((8 * column + 4, 8 * row + 4))[0]  # type: ignore[index]
        assert abs(red - 20 * place) <= 3


def test_small_images_are_enlarged_in_blocks() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(
        thumbnails(images, 12), images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    )


def test_large_images_keep_their_mean_and_flat_ones_their_colour() -> None:
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    small = thumbnails(images, 16).float()
    assert small.shape == (2, 3, 16, 16)
    assert torch.allclose(small.mean((2, 3)), images.float().mean((2, 3)), atol=3)
    assert bool((thumbnails(torch.full((1, 3, 50, 50), 77, dtype=torch.uint8), 32) == 77).all())


def test_what_is_not_square_keeps_its_shape() -> None:
    wide = torch.full((1, 3, 10, 20), 255, dtype=torch.uint8)
    small = thumbnails(wide, 32)[0, 0]
    assert bool((small[8:24] == 255).all())
    assert bool((small[:8] == 128).all() and (small[24:] == 128).all())
