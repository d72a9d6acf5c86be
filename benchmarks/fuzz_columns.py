"""Parquet files and directories of Arrow streams, of which some unpack to very much."""

import io
import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

Read = Callable[[], object]
Kind = Callable[[random.Random], Read]
FEATURES = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b", "c"]}}}}
SPLITS = {"splits": ["train", "test"]}


@cache
def parquet() -> list[bytes]:
    """Make valid files, and as many odd ones."""
    import pyarrow as pa

    from benchmarks.fuzz_cases import png

    images, labels = [{"bytes": png()}] * 6, [0, 1, 2] * 2
    plain = pa.table({"image": images, "label": labels})
    large = pa.array([2**63, 2**64 - 1, 0] * 2, pa.uint64())
    twice = [plain["image"], plain["label"], plain["label"]]
    deep = {"huggingface": b"[" * 200_000}
    odd = [
        plain.slice(0, 0),
        plain.replace_schema_metadata(deep),
        pa.table({"image": images, "label": large}),
        pa.Table.from_arrays(twice, names=["image", "label", "label"]),
    ]
    return [_stored(plain)] * 4 + [_stored(table) for table in odd]


def bomb(draw: random.Random) -> bytes:
    """Draw a Parquet file of a few kilobytes that unpacks to more than a GiB."""
    return draw.choice([_looked_up, _pages, _page])()


@cache
def _looked_up() -> bytes:
    import pyarrow as pa

    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 60, pa.int32()), _padded(30_000_000))
    return _stored(pa.table({"image": rows}), dictionary_pagesize_limit=2**30)


@cache
def _pages() -> bytes:
    import pyarrow as pa

    return _stored(*[pa.table({"image": _padded(50_000_000)})] * 12, use_dictionary=False)


@cache
def _page() -> bytes:
    import pyarrow as pa

    return _stored(pa.table({"image": _padded(500_000_000)}), use_dictionary=False)


def _padded(size: int) -> Any:
    """Return a column of one image, behind which very many zeros lie."""
    import pyarrow as pa

    from benchmarks.fuzz_cases import png

    return pa.array([png() + bytes(size)], pa.binary())


def _stored(*tables: Any, **options: Any) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    how = {"compression": "zstd", "store_schema": False, **options}
    with pq.ParquetWriter(out, tables[0].schema, **how) as writer:
        for table in tables:
            writer.write_table(table)
    return out.getvalue()


def arrow(folder: Path) -> Kind:
    """Directories as `save_to_disk` leaves them, in which a file is not as it should be."""
    from benchmarks.fuzz_cases import mutated, rewritten, spelled
    from spice_cli.config.data import DataSpec
    from spice_cli.data.load import load, resolve

    os.environ["SPICE_DATA"] = str(folder / "home")
    root, streams = folder / "data", _streams()
    state = {"_data_files": [{"filename": "data-0.arrow"}], "_fingerprint": "x"}

    def read(files: dict[str, bytes]) -> None:
        shutil.rmtree(root, ignore_errors=True)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        load(DataSpec(name=resolve(str(root)), size=8), lambda text: None).read_labels()

    def case(draw: random.Random) -> Read:
        files = {"data-0.arrow": draw.choice(streams), "dataset_info.json": b"{}"}
        files["state.json"] = json.dumps(state).encode()
        if split := draw.random() < 0.3:
            files = {f"{n}/{name}": text for n in SPLITS["splits"] for name, text in files.items()}
            files["dataset_dict.json"] = json.dumps(SPLITS).encode()
        name = draw.choice([name for name in files if not name.endswith("info.json")])
        if name.endswith(".arrow"):
            if draw.random() < 0.03:
                files[name] = _arrow_bomb()
            elif draw.random() < 0.8:
                files[name] = mutated(files[name], draw)
        else:
            value = SPLITS if split and name == "dataset_dict.json" else state
            files[name] = spelled(rewritten(value, draw), draw)
            files[name] = mutated(files[name], draw) if draw.random() < 0.2 else files[name]
        return partial(read, files)

    return case


def _streams() -> list[bytes]:
    import pyarrow as pa

    from benchmarks.fuzz_cases import png

    images = [{"bytes": png()}] * 6
    plain = pa.table({"image": images, "label": [0, 1, 2] * 2})
    named = plain.replace_schema_metadata({"huggingface": json.dumps(FEATURES)})
    deep = plain.replace_schema_metadata({"huggingface": b"[" * 200_000})
    large = pa.table({"image": images, "label": pa.array([2**63] * 6, pa.uint64())})
    tables = [named] * 6 + [plain, plain.slice(0, 0), deep, large]
    return [_streamed(table) for table in tables]


@cache
def _arrow_bomb() -> bytes:
    import pyarrow as pa

    return _streamed(pa.table({"image": _padded(700_000_000)}), "zstd")


def _streamed(table: Any, packing: str | None = None) -> bytes:
    import pyarrow as pa

    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=packing)
    with pa.ipc.new_stream(out, table.schema, options=options) as stream:
        stream.write_table(table)
    return out.getvalue()


def sparse(folder: Path) -> Kind:
    """Tars with members of 256 MiB that are holes but for an image."""
    from benchmarks.fuzz_cases import png
    from spice_cli.config.data import DataSpec
    from spice_cli.data.load import load, resolve

    os.environ["SPICE_DATA"] = str(folder / "home")

    def read(sizes: list[int]) -> None:
        with (folder / "x.tar").open("wb") as file:
            for number, size in enumerate(sizes):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = size
                file.write(info.tobuf() + png())
                file.seek(-(-size // 512) * 512 - len(png()), os.SEEK_CUR)
            file.write(bytes(1024))
        load(DataSpec(name=resolve(str(folder / "x.tar")), size=8), lambda text: None)

    return lambda draw: partial(read, [draw.choice([512, 2**28, 2**28, 2**29]) for _ in range(9)])
