"""Two processes share the heads that one process trains on stored features."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

LIMIT = 300
SPICE = ("-m", "spice_cli")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
METHODS = {
    "spice": ("--heads", 5, "--set", "passes=2", "--set", "lr=0.005"),
    "scan": ("--method", "scan", "--heads", 2, "--set", "batch_size=64", "--set", "lr=1"),
}


def torchrun(processes: int) -> list[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*start, f"--nproc-per-node={processes}", *SPICE]


def spice(*arguments: object, start: list[str] | None = None) -> str:
    command = [*(start or [sys.executable, *SPICE]), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, env=ONE_THREAD, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of embeddings alone."""
    folder = tmp_path_factory.mktemp("features")
    random = np.random.default_rng(0)
    rows = 2 * random.normal(size=(4, 16))[np.arange(400) % 4] + random.normal(size=(400, 16))
    np.save(folder / "rows.npy", rows.astype(np.float32))
    spice("embed", "--from", folder / "rows.npy", "-r", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def whole(features: Path) -> Path:
    """What one process makes of them."""
    for method, flags in METHODS.items():
        own = features.parent / method
        shutil.copytree(features, own)
        spice("self-label", "-r", own, "-k", 4, "--epochs", 20, *flags)
    return features.parent


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "self-label.jsonl").read_text().splitlines()]


def same(run: Path, expected: Path) -> None:
    """Check that two runs have the same losses, and heads that say the same."""
    mine, theirs = log(run), log(expected)
    assert len(mine) == 20
    for name in ("loss", "selection_loss"):
        assert [m[name] for m in mine] == pytest.approx([t[name] for t in theirs], abs=1e-5)
    assert [m["head"] for m in mine] == [t["head"] for t in theirs]
    own, other = (load_file(path / "self-label.safetensors") for path in (run, expected))
    torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-3)
    assert torch.equal(own["probs"].argmax(1), other["probs"].argmax(1))


@pytest.mark.parametrize(("method", "processes"), [("spice", 2), ("scan", 3)])
def test_processes_train_the_heads_of_one(
    whole: Path, features: Path, tmp_path: Path, method: str, processes: int
) -> None:
    run = tmp_path / "run"
    shutil.copytree(features, run)
    line = ("self-label", "-r", run, "-k", 4, "--epochs", 20, *METHODS[method])
    spice(*line, start=torchrun(processes))
    same(run, whole / method)
    stage = json.loads((run / "run.json").read_text())["stages"]["self-label"]
    assert stage["environment"]["world_size"] == processes


def test_one_process_goes_on_where_two_were_stopped(
    whole: Path, features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(features, run)
    line = ("self-label", "-r", run, "-k", 4, "--epochs", 20, *METHODS["spice"])
    command = [*torchrun(2), *map(str, line), "--checkpoint-seconds", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ONE_THREAD) as process:
        end = time.monotonic() + LIMIT
        while not (run / "self-label.checkpoint.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
    assert re.search(r"goes on after epoch \d+", spice(*line))
    same(run, whole / "spice")
