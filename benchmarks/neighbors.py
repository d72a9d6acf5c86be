"""Exact top-100 of 60,000 x 512 beside faiss's exhaustive index, in time, in result, in memory."""

import subprocess
import sys

import faiss
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Row, seconds
from spice_cli.ops.neighbors import nearest
from spice_cli.stages.allocator import keep_freed_memory

N, D, K, REPEATS = 60_000, 512, 100, 3
MEMORY = f"""
import re
from pathlib import Path
from benchmarks.neighbors import embeddings
from spice_cli.ops.neighbors import nearest
nearest(embeddings(), {K})
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
"""Linux only: `getrusage` would count what the process that started this one held at its peak."""


def bench() -> list[Row]:
    """Time both in turns; the first pair warms up."""
    keep_freed_memory()
    x = embeddings()
    results: dict[str, Tensor] = {}

    def ours() -> None:
        results["ours"] = nearest(x, K)

    def theirs() -> None:
        index = faiss.IndexFlatIP(D)
        index.add(x.numpy())
        results["theirs"] = torch.from_numpy(index.search(x.numpy(), K)[1])

    pairs = [(seconds(ours), seconds(theirs)) for _ in range(REPEATS + 1)][1:]
    return [
        Row(
            what=f"exact top-{K}",
            peer="faiss `IndexFlatIP`",
            n=f"{N:,} x {D}",
            ours=[pair[0] for pair in pairs],
            theirs=[pair[1] for pair in pairs],
            goal=1.5,
            note=f"{compared(x, results['ours'], results['theirs'])}; {memory()}",
        )
    ]


def embeddings() -> Tensor:
    """Unit rows (N, D) with ten clusters, as embeddings have them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, D, generator=generator)
    rows = torch.randn(N, D, generator=generator)
    return F.normalize(rows.add_(centres.repeat(N // 10, 1)))


def compared(x: Tensor, ours: Tensor, theirs: Tensor) -> str:
    """Say in how many places the neighbours (n, k) differ, and by how much in similarity there."""
    row, place = (ours != theirs).nonzero(as_tuple=True)
    mine, other = (
        (x[row].double() * x[found[row, place]].double()).sum(1) for found in (ours, theirs)
    )
    worst = float((mine - other).abs().max()) if len(row) else 0.0
    assert worst < 1e-6, f"neighbours differ by {worst} in similarity"
    return (
        f"{1 - len(row) / ours.numel():.4%} of all places hold the same neighbour, and in the "
        f"others the two similarities differ by {worst:.1e} at most, float32's own rounding"
    )


def memory() -> str:
    """Say what a process that does nothing else holds at most."""
    call = [sys.executable, "-c", MEMORY]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    peak = int(done.stdout) / 2**20
    return f"a process that does only this peaks at {peak:.2f} GiB, torch and the rows included"
