"""Directories of data, and runs, in which links and special files lie."""

import json
import os
import random
import shutil
import socket
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

Read = Callable[[], object]
Kind = Callable[[random.Random], Read]
SECRET = (250, 0, 250)
"""The colour of every image that lies outside."""
NAMES = {
    "png": ["a.png", "b.PNG", "c.jpg", "train", "test", "x", ".hidden", "snapshots", "blobs"],
    "tar": ["a.tar", "b.TAR", "train.tar", "test.tar"],
    "parquet": ["a.parquet", "b.parquet", "train-1.parquet", "test-1.parquet"],
    "arrow": ["a.arrow", "b.arrow", "dataset_dict.json", "train", "test"],
}


def trees(folder: Path) -> Kind:
    """Directories of images; nothing outside of them may be read, and nothing waited for."""
    outside = folder / "outside"
    _outside(outside)
    os.environ["SPICE_DATA"] = str(folder / "home")

    def case(draw: random.Random) -> Read:
        root = folder / "data"
        shutil.rmtree(root, ignore_errors=True)
        made = [root]
        root.mkdir()
        kind = draw.choice(list(NAMES))
        _store(root, kind, [(number, 200, 0) for number in range(2)])
        for _ in range(draw.randint(1, 20 if kind == "png" else 3)):
            place = draw.choice(made) / draw.choice(NAMES[kind])
            with suppress(OSError):
                _plant(place, made, outside, draw, f"secret.{kind}")
        return partial(read, root)

    def read(root: Path) -> None:
        from spice_cli.config.data import DataSpec
        from spice_cli.data.load import load, resolve
        from spice_cli.data.named import named_images
        from spice_cli.data.origin_files import origin_files
        from spice_cli.data.photographs import photographs

        for _, file in named_images([root]):
            assert file.resolve().is_relative_to(root), f"{file} leads out"
        spec = DataSpec(name=resolve(str(root)), size=8)
        origin_files(spec)
        photographs(root)
        images = load(spec, lambda text: None).images
        secret = np.array(SECRET, np.uint8)[:, None, None]
        assert not (images.numpy() == secret).all((1, 2, 3)).any(), "an image outside was read"

    return case


def runs(folder: Path) -> Kind:
    """Runs in which files are links; nothing outside of them may be read or changed."""
    import torch

    from spice_cli.config.data import DataSpec
    from spice_cli.run.manifest import Data, Environment, Recipe, Stage
    from spice_cli.run.store import Run

    outside, whole = folder / "outside", folder / "whole"
    _outside(outside)
    data = Data(spec=DataSpec(name="digits"), name="digits", train=8, fingerprint="b" * 64)
    where = Environment(spice="0", torch="2", python="3", device="cpu", precision="fp32")
    tensors = {"embeddings": torch.nn.functional.normalize(torch.randn(8, 4))}

    def write(run: Run) -> None:
        with run.lock():
            inputs = {"data": data.fingerprint}
            how = {"config": {}, "inputs": inputs, "seed": 0, "seconds": 1.0}
            run.write(Stage.EMBED, tensors, environment=where, **how)  # type: ignore[arg-type]

    write(Run.create(whole, data, Recipe(name="x", sections={}), 0))
    own = [file.name for file in whole.iterdir()]
    own += [f"{stem}{end}" for stem in own for end in (".partial", ".previous")]
    own += ["embed.jsonl", "embed.checkpoint.safetensors", "curation.json", "evaluate.json"]
    own += ["answers.jsonl", "again.json", "clusters.json", ".lock", "report.html.partial"]
    named = ["embed.SAFETENSORS", "Embed.safetensors", "embed.bin", "semi.safetensors"]

    def case(draw: random.Random) -> Read:
        root = folder / "run"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        for file in whole.iterdir():
            if file.is_file():
                shutil.copy(file, outside / file.name)
        for name in draw.sample(own, draw.randint(1, 3)):
            with suppress(OSError):
                (root / name).unlink(missing_ok=True)
                _plant(root / name, [root], outside, draw, name)
        if draw.random() < 0.3:
            name = draw.choice(named)
            with suppress(OSError):
                _plant(root / name, [root], outside, draw, "embed.safetensors")
                text = (whole / "run.json").read_text()
                content = json.loads(text.replace("embed.safetensors", name))
                del content["check"]
                (root / "run.json").unlink(missing_ok=True)
                (root / "run.json").write_text(json.dumps(content))
        return partial(read, root, draw.randrange(4))

    def read(root: Path, way: int) -> None:
        from spice_cli.run.again import Again
        from spice_cli.run.checkpoint import Checkpoint
        from spice_cli.run.curation import load_curation
        from spice_cli.run.files import write_text
        from spice_cli.run.log import Log

        before = _state(outside)
        try:
            if way == 0:
                Again.read(root)
            if way == 1:
                write_text(root / "report.html", "x")
            run = Run.create(root, data, Recipe(name="x", sections={}), 0)
            with run.lock():
                load_curation(root, "a" * 64)
                Checkpoint(root, Stage.EMBED, "key").load()
                log = Log(root, Stage.EMBED)
                log.rewind(0)
                log.append({"epoch": 1})
                if way == 2:
                    write(run)
            run.read(Stage.EMBED)
            file = root / run.record(Stage.EMBED).file
            assert file.resolve().parent == root.resolve(), "an artifact outside was read"
        finally:
            assert _state(outside) == before, "a file outside was changed"

    return case


def _outside(folder: Path) -> None:
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    for kind in NAMES:
        for place in (folder, folder / "deep"):
            _store(place, kind, [SECRET] * 2, "secret")
    (folder / "text").write_text("outside")


def _store(folder: Path, kind: str, colors: Sequence[tuple[int, int, int]], stem: str = "") -> None:
    """Store an image of each colour in files of one kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, color in enumerate(colors):
        _paint(folder / f"{stem or number}.png", color)
    files = [folder / f"{stem or number}.png" for number in range(len(colors))]
    rows = pa.table({"image": [{"bytes": file.read_bytes()} for file in files]})
    target = folder / f"{stem or 'own'}.{kind}"
    if kind == "tar":
        with tarfile.open(target, "w") as opened:
            for number, file in enumerate(files):
                opened.add(file, f"{number}.png")
    elif kind == "parquet":
        pq.write_table(rows, target)
    elif kind == "arrow":
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        (folder / "dataset_info.json").write_text("{}")
        splits = {"splits": ["train", "test"]}
        (folder / "secret-dataset_dict.json").write_text(json.dumps(splits))
    if kind != "png" and not stem:
        for file in files:
            file.unlink()


def _paint(file: Path, color: tuple[int, int, int]) -> None:
    Image.new("RGB", (9, 9), color).save(file, "PNG")


def _plant(
    place: Path, made: list[Path], outside: Path, draw: random.Random, like: str = "a.png"
) -> None:
    """Put a directory, an image, a special file or one of many kinds of links at a place."""
    there = [outside, outside / "deep", outside / "text", outside / like, outside / "gone"]
    there += [Path("/dev/zero"), Path("/dev/stdin"), Path("/proc/self/mem"), Path("/")]
    match draw.randrange(9):
        case 0:
            place.mkdir()
            made.append(place)
        case 1:
            _paint(place, (1, 2, 3))
        case 2:
            os.mkfifo(place)
        case 3:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(place))
        case 4:
            place.symlink_to(place)
        case 5:
            place.symlink_to(draw.choice(made))
        case 6:
            chain = place.with_name(f"chain{draw.randrange(9)}.png")
            chain.symlink_to(draw.choice(there))
            place.symlink_to(chain.name)
        case 7:
            place.symlink_to(os.path.relpath(draw.choice(there), place.parent))
        case _:
            place.symlink_to(draw.choice(there))


def _state(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
