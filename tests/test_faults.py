import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def call(*line: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *line],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_whatever_goes_wrong_the_same_command_ends_in_the_same_bytes() -> None:
    assert " taken well" in call("benchmarks.faults", "--faults", "70")


def test_readers_return_or_refuse_whatever_they_are_given() -> None:
    counts = ["--cases", "200", "--images", "40", "--others", "10"]
    assert "| manifest | 200 |" in call("benchmarks.fuzz", *counts)
