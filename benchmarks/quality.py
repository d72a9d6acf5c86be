"""Run a recipe over several seeds and print its scores as a Markdown table.

python benchmarks/quality.py digits --seeds 0 1 2 3 4
python benchmarks/quality.py DATASET --recipe cifar10-cpu --seeds 0

Each seed is a fresh process from command to metrics, and its wall time is that process's. Ground
truth is read by `spice evaluate` alone, to report.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import torch

from spice_cli import __version__

SCORED = ("embed", "self-label", "select-reliable", "semi")


def spice(*arguments: str) -> str:
    """Run a command and return its stdout; what it says to people passes through."""
    command = [sys.executable, "-m", "spice_cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(dataset: str, extra: list[str], seed: int, folder: Path) -> dict[str, float]:
    """Run one seed; return seconds, peak gigabytes, scores and the share that was selected."""
    run = str(folder / str(seed))
    started = time.monotonic()
    spice("run", dataset, "-r", run, "--seed", str(seed), *extra)
    found = {"seconds": time.monotonic() - started, "memory GB": peak()}
    for stage in SCORED:
        scores = json.loads(spice("evaluate", "-r", run, "--stage", stage, "--json"))
        found |= {f"{stage} {name}": value for name, value in scores.items() if name != "of"}
    manifest = json.loads(Path(run, "run.json").read_text())
    kept = manifest["stages"]["select-reliable"]["tensors"]["index"]["shape"][0]
    return found | {"reliable share": kept / manifest["data"]["train"]}


def peak() -> float:
    """Return the largest memory of any process waited for so far, in GB."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    choices = parser.parse_args()
    extra = ["--recipe", choices.recipe] if choices.recipe else []
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(choices.dataset, extra, seed, Path(folder)) for seed in choices.seeds]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(
        f"spice {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{device}, {os.cpu_count()} cores, seeds {' '.join(map(str, choices.seeds))}\n"
    )
    print("| what | mean | deviation | by seed |\n|---|---|---|---|")
    for name in rows[0]:
        values = [row[name] for row in rows]
        digits = 1 if name in ("seconds", "memory GB") else 4
        spread = f"{stdev(values):.{digits}f}" if len(values) > 1 else ""
        each = " ".join(f"{value:.{digits}f}" for value in values)
        print(f"| {name} | {mean(values):.{digits}f} | {spread} | {each} |")


if __name__ == "__main__":
    main()
