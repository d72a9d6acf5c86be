"""Processes share the heads, or the passes over all rows, of one process on stored features."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

LIMIT = 300
LINES = Path(__file__).parent / "lines.py"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
METHODS: dict[str, tuple[object, ...]] = {
    "spice": ("--epochs", 20, "--heads", 5, "--set", "passes=2", "--set", "lr=0.005"),
    "scan": ("--epochs", 20, "--heads", 2, "--set", "batch_size=64", "--set", "lr=1"),
    "temi": ("--epochs", 10, "--heads", 5, "--set", "batch_size=64"),
    "turtle": ("--epochs", 5, "--heads", 3, "--set", "lr=0.002"),
    "kmeans": (),
    "gmm": ("--set", "restarts=3"),
    "graph": (),
}
DEALT = {2: [*METHODS], 3: ["scan", "temi", "graph"]}
Spice = Callable[..., Any]


def torchrun(processes: int, *arguments: object) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*start, f"--nproc-per-node={processes}", *map(str, arguments)]


def line(method: str, run: Path) -> list[str]:
    own = ("self-label", "-r", run, "-k", 4, "--method", method, *METHODS[method])
    return [str(each) for each in own]


@pytest.fixture(scope="module")
def features(spice: Spice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of embeddings alone."""
    folder = tmp_path_factory.mktemp("features")
    random = np.random.default_rng(0)
    rows = 2 * random.normal(size=(4, 16))[np.arange(400) % 4] + random.normal(size=(400, 16))
    np.save(folder / "rows.npy", rows.astype(np.float32))
    spice("embed", "--from", folder / "rows.npy", "-r", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def whole(spice: Spice, features: Path) -> Path:
    """What one process makes of them."""
    folder = features.parent / "one"
    for method in METHODS:
        shutil.copytree(features, folder / method)
        spice(*line(method, folder / method))
    return folder


@pytest.fixture(scope="module")
def dealt(features: Path) -> Path:
    """What several processes make of them, by their number."""
    folder = features.parent / "several"
    for processes, methods in DEALT.items():
        runs = [folder / str(processes) / method for method in methods]
        for run in runs:
            shutil.copytree(features, run)
        lines = folder / f"{processes}.json"
        lines.write_text(json.dumps([line(run.name, run) for run in runs]))
        command = torchrun(processes, LINES, lines)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, env=ONE_THREAD, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "self-label.jsonl").read_text().splitlines()]


def same(run: Path, expected: Path) -> None:
    """Check that two runs have the same losses, and heads that say the same."""
    mine, theirs = log(run), log(expected)
    assert len(mine) == len(theirs)
    for name in ("loss", "selection_loss"):
        assert [m[name] for m in mine] == pytest.approx([t[name] for t in theirs], abs=1e-5)
    assert [m["head"] for m in mine] == [t["head"] for t in theirs]
    own, other = (load_file(path / "self-label.safetensors") for path in (run, expected))
    torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-3)
    assert torch.equal(own["probs"].argmax(1), other["probs"].argmax(1))


@pytest.mark.parametrize(
    ("processes", "method"), [(count, method) for count, dealt in DEALT.items() for method in dealt]
)
def test_processes_find_what_one_finds(
    whole: Path, dealt: Path, method: str, processes: int
) -> None:
    run = dealt / str(processes) / method
    same(run, whole / method)
    stage = json.loads((run / "run.json").read_text())["stages"]["self-label"]
    assert stage["environment"]["world_size"] == processes


def test_one_process_goes_on_where_two_were_stopped(
    spice: Spice, whole: Path, features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(features, run)
    command = torchrun(2, "-m", "spice_cli", *line("spice", run), "--checkpoint-seconds", "0")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ONE_THREAD) as process:
        end = time.monotonic() + LIMIT
        while not (run / "self-label.checkpoint.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
    assert re.search(r"goes on after epoch \d+", spice(*line("spice", run)).stderr)
    same(run, whole / "spice")


def second_of(launcher: int) -> int | None:
    """Find the second process that a launcher started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and b"RANK=1" in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
        except OSError:
            continue
    return None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_forced_redo_of_which_a_process_is_killed_goes_on_after_the_restart(
    dealt: Path, tmp_path: Path
) -> None:
    whole, run = dealt / "2" / "spice", tmp_path / "run"
    shutil.copytree(whole, run)
    own = [*line("spice", run), "--force", "--checkpoint-seconds", "0"]
    command = torchrun(2, "-m", "spice_cli", *own)
    command.insert(4, "--max-restarts=1")
    second = None
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD) as process:
        end = time.monotonic() + LIMIT
        while not (run / "self-label.checkpoint.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            second = second or second_of(process.pid)
            time.sleep(0.001)
        assert second is not None
        os.kill(second, signal.SIGKILL)
        said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, said
    assert re.search(r"`self-label` goes on after epoch \d+", said)
    name = "self-label.safetensors"
    assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert {file.name for file in run.iterdir()} == {file.name for file in whole.iterdir()}
    assert len(log(run)) == 20
