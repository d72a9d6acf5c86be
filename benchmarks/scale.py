"""What stages cost as the images grow: processor time, peak memory, bytes on the disk.

Every figure is of a process of its own with one thread. Processor seconds are counted, not those of
a clock, so that what else the machine does hardly matters. One alone, as JSON:

python -m benchmarks.scale embed 1000000
"""

import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import linear_regression
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from spice_cli.catalog import HEADS, SELECTIONS, load
from spice_cli.config.data import DataSpec
from spice_cli.config.self_label import SelfLabel
from spice_cli.data.load import load as read
from spice_cli.heads.source import plain_source
from spice_cli.models.resnet import small
from spice_cli.ops.approximate import approximate
from spice_cli.ops.augment import plain
from spice_cli.ops.contingency import tabulate
from spice_cli.ops.judged import judged
from spice_cli.ops.metrics import accuracy, adjusted_rand_index, normalized_mutual_information
from spice_cli.ops.neighbors import tell_nearest
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.manifest import Stage
from spice_cli.stages.allocator import keep_freed_memory
from spice_cli.stages.features import unit_rows
from spice_cli.stages.group import ALONE
from spice_cli.stages.room import Room
from spice_cli.track import Silent

D, INNER, CLUSTERS, SIDE, LABELLED = 128, 16, 100, 32, 5_000
FEW, TINY = 10, 8
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000)
MOST = {
    "decode": 10**6,
    "decode-tiny": 10**7,
    "embed": 10**6,
    "embed-tiny": 10**7,
    "heads": 10**6,
    "heads-few": 10**7,
    "exact": 10**5,
    "ivf": 10**6,
    "metrics": 10**7,
}
WHAT = {
    "decode": f"decoding, PNG of {SIDE} pixels in Parquet",
    "decode-tiny": f"the same, {TINY} pixels",
    "embed": f"`embed`, `small` backbone, {SIDE} pixels, mapped",
    "embed-tiny": f"the same, {TINY} pixels",
    "heads": f"an epoch of 10 `spice` heads, {CLUSTERS} clusters, M = {LABELLED:,}",
    "heads-few": f"the same, {FEW} clusters",
    "exact": f"`select-reliable`, exact top-100, d = {D}",
    "ivf": "the same, `index=ivf`",
    "metrics": "ACC, NMI and ARI, 1,000 classes",
}


def bench() -> str:
    """Measure every cost at every size, and fit cost = c n^e to the last three."""
    lines = [
        "| what | images | processor s | peak GiB | disk MiB | |",
        "|---|---|---|---|---|---|",
    ]
    for name, what in WHAT.items():
        found = {n: measured(name, n) for n in SIZES if n <= MOST[name]}
        fit = exponent({n: each["seconds"] for n, each in found.items()})
        for n, each in found.items():
            last = f"exponent **{fit:.2f}**" if n == max(found) else ""
            said = ", ".join(f"{k} {v}" for k, v in each.items() if k in ("recall", "cells"))
            lines.append(
                f"| {what} | {n:,} | {each['seconds']:.3g} | {each['peak'] / 2**30:.2f} | "
                f"{each['disk'] / 2**20:,.1f} | {' '.join(filter(None, (said, last)))} |"
            )
    return "\n".join(lines)


def exponent(times: dict[int, float]) -> float:
    """Fit by least squares of the logarithms of the largest three sizes."""
    some = sorted(times)[-3:]
    return linear_regression([math.log(n) for n in some], [math.log(times[n]) for n in some]).slope


def measured(name: str, n: int) -> dict[str, Any]:
    """Return what a process of its own says of a cost."""
    call = [sys.executable, "-m", "benchmarks.scale", name, str(n)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, check=True, env=alone)
    return dict(json.loads(done.stdout))


def embeddings(n: int) -> Tensor:
    """Unit rows (n, D) in clusters, each spread over INNER directions of its own."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(CLUSTERS, D, generator=generator))
    axes = torch.randn(CLUSTERS, INNER, D, generator=generator) / D**0.5
    rows = torch.empty(n, D)
    for cluster, (centre, axis) in enumerate(zip(centres, axes, strict=True)):
        into = rows[cluster::CLUSTERS]
        inner = torch.randn(len(into), INNER, generator=generator) / 4
        noise = torch.randn(len(into), D, generator=generator) / 100
        into.copy_(F.normalize(centre + inner @ axis + noise))
    return rows


def decode(n: int, folder: Path, *, side: int = SIDE) -> Callable[[], dict[str, Any]]:
    """Decode a Parquet file of PNG images into the cache."""
    drawn = np.random.default_rng(0).integers(256, size=(1000, 8, 8, 3), dtype=np.uint8)
    encoded = []
    for pixels in drawn:
        Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(
            file := io.BytesIO(), "png"
        )
        encoded.append({"bytes": file.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    part = pa.table({"image": pa.array(encoded, kind)})
    with pq.ParquetWriter(folder / "x.parquet", part.schema, use_dictionary=False) as file:
        for _ in range(n // 1000):
            file.write_table(part)
    os.environ["SPICE_DATA"] = str(folder / "data")

    def work() -> dict[str, Any]:
        images = read(DataSpec(name=str(folder / "x.parquet")), lambda line: None).images
        return {"disk": images.nbytes}

    return work


def embed(n: int, folder: Path, *, side: int = SIDE) -> Callable[[], dict[str, Any]]:
    """Embed images that lie in a file."""
    shape = (n, 3, side, side)
    made = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.uint8, shape=shape)
    noise = np.random.default_rng(0).integers(256, size=(1000, *shape[1:]), dtype=np.uint8)
    for start in range(0, n, 1000):
        made[start : start + 1000] = noise
    backbone = small(side).eval().to(memory_format=torch.channels_last)
    job: Any = SimpleNamespace(
        autocast=partial(torch.autocast, "cpu", torch.bfloat16),
        device=torch.device("cpu"),
        group=ALONE,
        stage=Stage.EMBED,
        track=Silent(),
        checkpoint=Checkpoint(folder, Stage.EMBED, ""),
        checkpointed=lambda: None,
        checkpoint_seconds=20.0,
        saved=time.monotonic(),
        seconds=0.0,
    )

    def work() -> dict[str, Any]:
        room, generator = Room(job, n, int(backbone.features)), torch.Generator()
        for part in torch.split(torch.from_numpy(made), 512):
            room.put(unit_rows(backbone, part, plain, job))
            room.save(generator)
        return {"disk": room.rows.nbytes}

    return work


def heads(n: int, folder: Path, *, clusters: int = CLUSTERS) -> Callable[[], dict[str, Any]]:
    """Train heads for an epoch on stored features."""
    kind = load(HEADS["spice"])
    config, generator = SelfLabel(clusters=clusters), torch.Generator().manual_seed(0)
    head = kind(
        plain_source(embeddings(n), clusters),
        config,
        kind.Config.model_validate({"batch": LABELLED}),
        generator,
    )

    def work() -> dict[str, Any]:
        head.epoch(1, generator, lambda count: None)
        return {"disk": 4 * n * clusters}

    return work


def select(n: int, folder: Path, *, index: str) -> Callable[[], dict[str, Any]]:
    """Judge all rows by their neighbours."""
    x, kind = embeddings(n), load(SELECTIONS["spice"])
    method = kind(kind.Config())
    probs = torch.eye(CLUSTERS)[torch.arange(n) % CLUSTERS]

    def work() -> dict[str, Any]:
        said: dict[str, Any] = {}
        search = partial(tell_nearest, x, method.neighbors)
        if index == "ivf":
            search, width = approximate(
                x, method.neighbors, "ivf", torch.Generator().manual_seed(0)
            )
            said = {"cells": width}
        judged(method, search, method.neighbors, probs)
        return {"disk": 20 * n, **said}

    return work


def metrics(n: int, folder: Path) -> Callable[[], dict[str, Any]]:
    """Score labels of which half are right."""
    generator = torch.Generator().manual_seed(0)
    target, wrong = torch.randint(1000, (2, n), generator=generator)
    labels = torch.where(torch.rand(n, generator=generator) < 0.5, target, wrong)

    def work() -> dict[str, Any]:
        table = tabulate(labels, target)
        for metric in (accuracy, normalized_mutual_information, adjusted_rand_index):
            metric.of(table)
        return {"disk": 0}

    return work


def main() -> None:
    """Measure one cost at one size, and say so in JSON."""
    prepare: dict[str, Callable[[int, Path], Callable[[], dict[str, Any]]]] = {
        "decode": decode,
        "decode-tiny": partial(decode, side=TINY),
        "embed": embed,
        "embed-tiny": partial(embed, side=TINY),
        "heads": heads,
        "heads-few": partial(heads, clusters=FEW),
        "exact": partial(select, index="exact"),
        "ivf": partial(select, index="ivf"),
        "metrics": metrics,
    }
    keep_freed_memory()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = prepare[sys.argv[1]](int(sys.argv[2]), Path(folder))
        started = time.process_time()
        said = work()
        spent = time.process_time() - started
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps({"seconds": spent, "peak": peak, **said}))


if __name__ == "__main__":
    main()
