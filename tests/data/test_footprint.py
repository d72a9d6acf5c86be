from io import BytesIO

import pytest
from PIL import Image

from spice_cli.data.footprint import footprint

PIXELS = 40 * 30


def of(mode: str, kind: str, **options: object) -> float:
    buffer = BytesIO()
    Image.new(mode, (40, 30)).save(buffer, kind, **options)
    with Image.open(buffer) as image:
        return footprint(image) / PIXELS


@pytest.mark.parametrize(
    ("mode", "kind", "options", "expected"),
    [
        ("RGBA", "PNG", {}, 4),
        ("RGB", "JPEG", {}, 4),
        ("RGB", "JPEG", {"progressive": True}, 10),
        ("CMYK", "JPEG", {"progressive": True}, 12),
        ("RGB", "WEBP", {}, 16),
        ("RGBA", "TIFF", {"compression": "tiff_lzw"}, 8),
        ("P", "GIF", {}, 4),
    ],
)
def test_a_pixel_takes_what_its_decoder_keeps(
    mode: str, kind: str, options: dict[str, object], expected: int
) -> None:
    assert of(mode, kind, **options) == expected


def test_a_jpeg_whose_first_scan_lacks_components_is_kept_as_coefficients() -> None:
    buffer = BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "JPEG")
    content = buffer.getvalue()
    start = content.index(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    with Image.open(BytesIO(content[:start] + scan + content[start + 14 :])) as image:
        assert footprint(image) == 10 * PIXELS


def test_a_tile_larger_than_its_image_counts() -> None:
    buffer = BytesIO()
    Image.new("L", (16, 16)).save(buffer, "TIFF")
    with Image.open(buffer) as image:
        image.tag_v2[322] = image.tag_v2[323] = 4096  # type: ignore[attr-defined]
        assert footprint(image) == 4096**2 + 4 * 16**2
