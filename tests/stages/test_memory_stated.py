"""No stage takes more memory than `spice run --dry-run` says it would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIZES = {
    "pretrain-simclr": (4_000, 14_000),
    "embed": (10_000, 24_000),
    "self-label-spice": (10_000, 24_000),
    "self-label-scan": (6_000, 16_000),
    "self-label-kmeans": (20_000, 50_000),
    "select-exact": (10_000, 24_000),
    "select-ivf": (10_000, 24_000),
    "semi": (10_000, 24_000),
    "evaluate": (50_000, 400_000),
}
PROCESS, MORE = 2**27, 2**23
"""What a process that has loaded everything takes for a few images; what sizes leave open."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc as Linux has it")
Peaks = dict[str, list[dict[str, int]]]


@pytest.fixture(scope="module")
def peaks() -> Peaks:
    pytest.importorskip("faiss")
    asked = [f"{name}:{n}" for name, sizes in SIZES.items() for n in sizes]
    call, alone = [sys.executable, "-m", "benchmarks.memory", *asked], {"OMP_NUM_THREADS": "1"}
    env = {**os.environ, **alone}
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT, env=env)
    assert not done.returncode, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: [line for line in lines if line["what"] == name] for name in SIZES}


@pytest.mark.parametrize("name", SIZES)
def test_a_stage_holds_what_is_stated_and_grows_no_faster(peaks: Peaks, name: str) -> None:
    few, many = peaks[name]
    assert few["peak"] <= few["stated"] + PROCESS
    assert many["peak"] <= many["stated"] + PROCESS
    assert many["peak"] - few["peak"] <= max(0, many["stated"] - few["stated"]) + MORE


@pytest.mark.parametrize("name", SIZES)
def test_no_more_than_three_times_what_a_stage_holds_is_stated(peaks: Peaks, name: str) -> None:
    assert all(each["stated"] <= 3 * each["peak"] for each in peaks[name])
