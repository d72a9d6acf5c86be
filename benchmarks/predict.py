"""`spice predict` on files beside the network's own forward pass on pixels already decoded."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner

from benchmarks.measure import Row, alternate
from spice_cli.cli import app
from spice_cli.data.named import named_images
from spice_cli.data.stream import stream
from spice_cli.run.store import Run
from spice_cli.stages.predict import Predict, Predictor, predicted_rows
from spice_cli.stages.usual import pixels_of
from spice_cli.track import Silent

N, SIDE, BATCH, REPEATS = 10_000, 32, 256, 5
KINDS = {"png": {}, "jpg": {"quality": 90}}
SETTINGS = [
    "pretrain.method=simclr",
    "pretrain.backbone=small",
    "pretrain.batch_size=100",
    "pretrain.epochs=1",
    "self-label.epochs=1",
]


def bench() -> list[Row]:
    """Time both in turns, on PNG and on JPEG files, in both precisions."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, options in KINDS.items():
            files = Path(folder, kind)
            write(files, kind, options)
            for precision in ("bf16", "fp32"):
                predictor = prepared(Path(folder, "some"), Path(folder, precision), files)
                rows.append(timed(predictor, files, kind, precision))
    return rows


def timed(predictor: Predictor, files: Path, kind: str, precision: str) -> Row:
    """Compare predictions from files with the network on what was decoded from them."""
    decoded = list(pixels(files, BATCH))

    def whole() -> None:
        assert sum(1 for _ in predicted_rows(predictor, named_images([files]), BATCH)) == N

    def forward() -> None:
        with torch.inference_mode():
            for images in decoded:
                predictor.model(pixels_of(images, predictor.device))

    def decoding() -> None:
        for _ in pixels(files, 128):
            pass

    ours, theirs = alternate(whole, forward, repeats=REPEATS)
    alone, _ = alternate(decoding, lambda: None, repeats=REPEATS)
    return Row(
        what=f"predict, {kind.upper()} files",
        peer="the network's forward pass",
        n=f"{N:,} of {SIDE} px, `small`, {precision}",
        ours=ours,
        theirs=theirs,
        goal=0.8,
        units=N,
        note=f"decoding alone: {N / sorted(alone)[len(alone) // 2]:,.0f} images/s",
    )


def pixels(files: Path, size: int) -> Iterator[torch.Tensor]:
    """Decode the files, with as many threads as torch has."""
    threads = torch.get_num_threads()
    return stream(named_images([files]), SIDE, size, lambda batch: batch.images, threads)


def write(folder: Path, kind: str, options: dict[str, int]) -> None:
    """Write N smooth pictures, which compress as photographs do."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(N):
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), np.uint8))
        picture = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04}.{kind}", **options)


def prepared(some: Path, run: Path, files: Path) -> Predictor:
    """Train a run on a few of the files, for as short as can be."""
    if not run.exists():
        some.mkdir(exist_ok=True)
        for file in sorted(files.iterdir())[:300]:
            (some / file.name).write_bytes(file.read_bytes())
        settings = [*SETTINGS, f"embed.precision={run.name}"]
        sets = [each for text in settings for each in ("--set", text)]
        command = ["run", str(some), "-r", str(run), "-k", "5", "--until", "self-label", *sets]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    return Predictor(Run.open(run), torch.device("cpu"), Predict(), Silent())
