"""Write a folder of 2,000 images of all kinds, 25 of which cannot be read, out of a Parquet file.

python -m benchmarks.folder TRAIN.parquet FOLDER
spice run FOLDER --clusters 10

Images are those of CIFAR-10 in the Hugging Face convention, of as many kinds as people have: PNG
and JPEG, greyscale, CMYK, palette, with alpha, 16-bit, WebP, BMP, TIFF and GIF, in folders of
their class and folders below, and turned with an EXIF orientation that turns them back. Beside them
lie hidden files, links that go round and a text.
"""

import argparse
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

COUNT, BROKEN, EMPTY = 2_000, 20, 5
TURNED = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""How pixels must lie for an EXIF orientation to turn them upright."""


def build(source: Path, folder: Path) -> None:
    """Write the folder; the first 25 of its files, in steps of 80, are no images any more."""
    for number, (image, label) in enumerate(islice(_images(source), COUNT)):
        file = _write(image, number, folder / str(label))
        if number % (COUNT // (BROKEN + EMPTY)) == 0:
            _spoil(file, number // (COUNT // (BROKEN + EMPTY)))
    (folder / ".hidden").mkdir()
    Image.new("RGB", (32, 32)).save(folder / ".hidden/a.png")
    (folder / "round").symlink_to(folder.resolve())
    (folder / "notes.txt").write_text("not an image\n")


def _images(source: Path) -> Iterator[tuple[Image.Image, int]]:
    for batch in pq.ParquetFile(source).iter_batches(256):
        column = "image" if "image" in batch.schema.names else "img"
        values = zip(batch[column].to_pylist(), batch["label"].to_pylist(), strict=True)
        for value, label in values:
            yield Image.open(BytesIO(value["bytes"])).convert("RGB"), label


def _write(image: Image.Image, number: int, folder: Path) -> Path:
    below = folder / f"{number % 3}"
    below.mkdir(parents=True, exist_ok=True)
    name = below / f"{number:05}"
    exif = Image.Exif()
    kind = number % 12
    if kind < 4:
        file = name.with_suffix(".jpg")
        if kind == 1:
            image = image.convert("CMYK")
        if kind == 2:
            exif[0x0112] = (6, 8)[number // 12 % 2]
            image = image.transpose(TURNED[exif[0x0112]])
        if kind == 3:
            image = image.convert("L")
        image.save(file, quality=95, exif=exif)
        return file
    if kind == 4:
        image = image.convert("L")
    if kind == 5:
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    if kind == 6:
        image.putalpha(255)
    if kind == 7:
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    file = name.with_suffix({8: ".webp", 9: ".bmp", 10: ".tiff", 11: ".gif"}.get(kind, ".png"))
    image.save(file)
    return file


def _spoil(file: Path, number: int) -> None:
    content = file.read_bytes()
    file.write_bytes(b"" if number >= BROKEN else content[:60] + b"\0" * 40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    build(asked.source, asked.folder)
