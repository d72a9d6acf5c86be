"""What readers are fuzzed with: one function a kind, from a folder to a maker of cases."""

import io
import json
import pickle
import random
import shlex
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fuzz_bombs, fuzz_columns, fuzz_links, fuzz_report
from spice_cli.errors import SpiceError

Read = Callable[[], object]
Kind = Callable[[random.Random], Read]
ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, -(10**30), 1e308, float("nan"), float("inf"), "",
    "..", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "<script>", "x" * 10_000, [], {},
    [[[[[]]]]], {"a": {"b": {}}}, [1] * 1000, "2026-01-01T00:00:00Z", "f" * 64,
]  # fmt: skip


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes, once to five times."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 5)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = draw.randbytes(draw.randint(1, 16))
            case 3:
                del data[at : at + draw.randint(1, 64)]
            case 4:
                data[at:at] = data[at : at + draw.randint(1, 200)]
            case _:
                size = draw.choice([1, 2, 4, 8])
                data[at : at + size] = draw.choice([b"\xff", b"\0", b"\x7f"]) * size
    return bytes(data)


def rewritten(value: Any, draw: random.Random) -> Any:
    """Put something odd at one place of a JSON value, or take a key away, or add one."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        out = dict(value)
        key = draw.choice(list(out))
        match draw.randrange(6):
            case 0:
                del out[key]
            case 1:
                odd = ["surprise", "..", "", "__proto__", "x" * 5000, "../x", "/", "a\0b", "; x #"]
                out[draw.choice(odd)] = out[key]
            case _:
                out[key] = rewritten(out[key], draw)
        return out
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], rewritten(value[at], draw), *value[at + 1 :]]
    return draw.choice(ODD)


def spelled(value: Any, draw: random.Random) -> bytes:
    """Write JSON, now and then with deep nesting or the same key twice."""
    text = json.dumps(value)
    if draw.random() < 0.03:
        text = text[:-1] + ', "format": 1}'
    if draw.random() < 0.03:
        depth = draw.choice([10, 1000, 100_000])
        text = "[" * depth + text + "]" * draw.choice([0, depth])
    return text.encode("utf-8", "surrogatepass")


def manifests(folder: Path) -> Kind:
    """Manifests; none that is read may lead out of the run, or into a shell."""
    from spice_cli.run.load import load_manifest
    from spice_cli.run.seal import MANIFEST
    from spice_cli.run.store import Run

    value = _manifest()

    def read(content: bytes) -> None:
        (folder / MANIFEST).write_bytes(content)
        manifest = load_manifest(folder)
        for stage, record in manifest.stages.items():
            inside = (folder / record.file).resolve().parent == folder.resolve()
            assert inside, f"{record.file} leads out of the run"
            for name in record.family.members if record.family else ():
                assert Path(f"/x/{name}").resolve().parent == Path("/x"), f"{name} leads elsewhere"
            run = Run(folder, manifest)
            run.state(stage)
            command = run.command(stage)
            assert shlex.join(shlex.split(command)) == command, f"{command} is not quoted"

    def case(draw: random.Random) -> Read:
        content = spelled(value, draw)
        if draw.random() < 0.3:
            return partial(read, mutated(content, draw))
        changed = value
        for _ in range(draw.randint(1, 3)):
            changed = rewritten(changed, draw)
        return partial(read, spelled(changed, draw))

    return case


def safetensors(folder: Path) -> Kind:
    """Tensor files, of headers that claim what is not there."""
    from spice_cli.run.tensors import load
    from spice_cli.stages.arrays import read as read_arrays

    head: dict[str, Any] = {
        "__metadata__": {"stage": "embed"},
        "a": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [48, 64]},
    }

    def read(content: bytes) -> None:
        (folder / "x.safetensors").write_bytes(content)
        with suppress(SpiceError):
            read_arrays(folder / "x.safetensors")
        load(folder / "x.safetensors")

    def empty(draw: random.Random) -> dict[str, Any]:
        sizes = [0, *draw.sample([1, 4, 2**31, 2**40, 2**62, 2**63, 2**64 - 1], 2)]
        draw.shuffle(sizes)
        none = {"dtype": "F32", "shape": sizes[: draw.randint(2, 3)], "data_offsets": [0, 0]}
        return {**head, "c": none}

    def case(draw: random.Random) -> Read:
        base = head if draw.random() < 0.9 else empty(draw)
        text = spelled(rewritten(base, draw) if draw.random() < 0.8 else base, draw)
        size = draw.choice([len(text)] * 8 + [0, 2**40, 2**63, 2**64 - 1, len(text) + 1])
        content = struct.pack("<Q", size) + text + bytes(64)
        return partial(read, mutated(content, draw) if draw.random() < 0.3 else content)

    return case


def images(folder: Path) -> Kind:
    """Encoded images, some of which claim to be huge."""
    from PIL import Image

    from spice_cli.config.data import DataSpec
    from spice_cli.data.encoded import decode_all

    drawn = np.random.default_rng(0).integers(0, 255, (12, 9, 4), dtype=np.uint8)
    whole = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        for mode in ("RGB", "L", "P", "RGBA"):
            with suppress(OSError, ValueError):
                out = io.BytesIO()
                Image.fromarray(drawn).convert(mode).save(out, kind)
                whole.append(out.getvalue())
    good = whole[0]

    def read(content: bytes) -> None:
        items: list[tuple[str, bytes | Path | None]] = [("a", good), ("b", content)]
        decode_all(lambda: items, 2, 2, DataSpec(name="x", size=8), lambda text: None)

    def case(draw: random.Random) -> Read:
        if draw.random() < 0.02:
            return partial(read, fuzz_bombs.bomb(draw))
        return partial(read, mutated(draw.choice(whole), draw))

    return case


def source(
    name: str,
    valid: Callable[[], list[bytes]],
    bomb: Callable[[random.Random], bytes] | None = None,
) -> Callable[[Path], Kind]:
    """Files that are read as a data set is, among them bombs."""

    def kind(folder: Path) -> Kind:
        import os

        from spice_cli.config.data import DataSpec
        from spice_cli.data.load import load, resolve

        os.environ["SPICE_DATA"] = str(folder / "home")
        contents = valid()

        def read(content: bytes) -> None:
            file = folder / f"x.{name}"
            file.write_bytes(content)
            load(DataSpec(name=resolve(str(file)), size=8), lambda text: None).read_labels()

        def case(draw: random.Random) -> Read:
            if bomb and draw.random() < 0.03:
                return partial(read, bomb(draw))
            content = draw.choice(contents)
            return partial(read, mutated(content, draw) if draw.random() < 0.85 else content)

        return case

    return kind


def _npz() -> list[bytes]:
    out, bomb, claims = io.BytesIO(), io.BytesIO(), io.BytesIO()
    rows = np.zeros((6, 8, 8), np.uint8)
    np.savez(out, images=rows, labels=np.arange(6))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as opened:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "|u1", "fortran_order": False, "shape": (2**17, 128, 128)}
        )
        with opened.open("images.npy", "w", force_zip64=True) as stream:
            stream.write(head.getvalue())
            for _ in range(128):
                stream.write(bytes(2**24))
    with zipfile.ZipFile(claims, "w") as opened:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "|u1", "fortran_order": False, "shape": (2**20, 1024, 1024)}
        )
        opened.writestr("images.npy", head.getvalue())
    return [out.getvalue()] * 8 + [bomb.getvalue(), claims.getvalue()]


def png() -> bytes:
    """Encode a small image."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(out, "PNG")
    return out.getvalue()


def _tar() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        for name, content in (("a.png", png()), ("b.png", png()), ("a.cls", b"1")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        for name, target in (("c.png", "/etc/passwd"), ("../d.png", "../../x")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            opened.addfile(info)
    return [out.getvalue()]


def recipes(folder: Path) -> Kind:
    """Recipes, and the configs that they make."""
    from spice_cli.config.sections import SECTIONS
    from spice_cli.settings.configs import data_spec, stage_config
    from spice_cli.settings.recipes import read_recipe, recipe_file, recipe_names

    texts = [recipe_file(name).read_bytes() for name in recipe_names()]

    def read(content: bytes) -> None:
        (folder / "x.toml").write_bytes(content)
        sections = read_recipe(str(folder / "x.toml"))
        data_spec({k: v for k, v in sections.get("data", {}).items() if k != "name"}, {"name": "x"})
        for stage in SECTIONS:
            stage_config(stage, sections.get(stage), {})

    return lambda draw: partial(read, mutated(draw.choice(texts), draw))


def weights(folder: Path) -> Kind:
    """Weights of other programs, among them pickles that would run code."""
    import torch

    from spice_cli.stages.weight_files import read_weights

    ran = folder / "ran"

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (ran,)

    out, harm = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2, 3)}}, out)
    torch.save({"state_dict": Harm()}, harm)
    contents = [out.getvalue(), harm.getvalue(), pickle.dumps(Harm()), pickle.dumps([Harm()], 0)]

    def read(content: bytes) -> None:
        (folder / "x.pth").write_bytes(content)
        try:
            read_weights(folder / "x.pth")
        finally:
            assert not ran.exists(), "code was run"

    def case(draw: random.Random) -> Read:
        content = draw.choice(contents)
        return partial(read, mutated(content, draw) if draw.random() < 0.8 else content)

    return case


def lines(folder: Path) -> Kind:
    """Paths of images on stdin, one a line, as `predict -` takes them."""
    import sys

    from spice_cli.commands.predict import expanded
    from spice_cli.data.named import named_images

    text = b"a.png\n/etc/passwd\n../x/y.png\n\n  spaced .png\n" + b"x" * 5000 + b"\n"

    def read(content: bytes) -> None:
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        try:
            for name, _ in named_images(expanded(Path("-"))):
                assert name
        finally:
            sys.stdin = before

    return lambda draw: partial(read, mutated(text, draw))


def _manifest() -> dict[str, Any]:
    from datetime import UTC, datetime

    from spice_cli.config.data import DataSpec
    from spice_cli.run.manifest import Data, Environment, Manifest, Recipe, Record, Stage

    where = Environment(spice="0", torch="2", python="3", device="cpu", precision="fp32")
    record = {
        "file": "embed.safetensors", "sha256": "a" * 64, "size": 100,
        "tensors": {"embeddings": {"shape": (8, 4), "dtype": "float32"}},
        "config": {"views": 0}, "inputs": {"data": "b" * 64}, "seed": 0,
        "environment": where, "seconds": 1.0, "finished": datetime.now(UTC),
    }  # fmt: skip
    data = Data(spec=DataSpec(name="digits"), name="digits", train=8, fingerprint="b" * 64)
    recipe = Recipe(name="x", sections={"pretrain": {"epochs": 3}})
    mixed = {"file": "semi.safetensors", "imported": True}
    mixed |= {"config": {"from": {"members": {"seed-0": "c" * 64, "seed-1": "d" * 64}}}}
    network = {"from": {"name": "a.pth", "flags": "--backbone timm/x --weights /a.pth"}}
    stages = {
        Stage.EMBED: Record.model_validate(record | {"imported": True, "config": network}),
        Stage.SEMI: Record.model_validate(record | mixed),
    }
    return Manifest(data=data, recipe=recipe, stages=stages).model_dump(mode="json")


KINDS: dict[str, Callable[[Path], Kind]] = {
    "manifest": manifests,
    "safetensors": safetensors,
    "image": images,
    "npz": source("npz", _npz),
    "tar": source("tar", _tar),
    "parquet": source("parquet", fuzz_columns.parquet, fuzz_columns.bomb),
    "arrow": fuzz_columns.arrow,
    "sparse tar": fuzz_columns.sparse,
    "recipe": recipes,
    "weights": weights,
    "lines": lines,
    "links": fuzz_links.trees,
    "run links": fuzz_links.runs,
    "report": fuzz_report.reports,
    "exports": fuzz_report.exports,
}
