"""`spice run digits`, from a fresh process to metrics, against the first release of it.

The first release is taken out of this repository's own history, so the bench needs a git checkout.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from benchmarks.measure import Row, seconds

ROOT = Path(__file__).parent.parent
FIRST_RELEASE = "6be0686"
SEEDS = (0, 1, 2)


def bench() -> list[Row]:
    """Run both in turns, a seed at a time."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "first")
        _unpack(FIRST_RELEASE, first)
        spent: dict[str, list[float]] = {"ours": [], "theirs": []}
        scores: dict[str, list[float]] = {"ours": [], "theirs": []}
        for seed in SEEDS:
            for who, code in (("ours", ROOT), ("theirs", first)):
                run = Path(folder, f"{who}-{seed}")
                spent[who].append(seconds(lambda c=code, r=run, s=seed: _run(c, r, s)))
                scores[who].append(json.loads((run / "evaluate.json").read_text())["scores"]["acc"])
    ours, theirs = (" ".join(f"{acc:.4f}" for acc in scores[who]) for who in ("ours", "theirs"))
    note = f"ACC of the last stage, seeds {' '.join(map(str, SEEDS))}: ours {ours}, then {theirs}"
    return [
        Row(
            "`spice run digits`, process start to metrics",
            f"the first release ({FIRST_RELEASE})",
            "1,797 images",
            spent["ours"],
            spent["theirs"],
            goal=2,
            note=note,
        )
    ]


def _unpack(revision: str, folder: Path) -> None:
    command = ["git", "-C", str(ROOT), "archive", revision]
    packed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def _run(code: Path, run: Path, seed: int) -> None:
    command = [sys.executable, "-m", "spice_cli", "run", "digits", "-r", str(run)]
    subprocess.run(
        [*command, "--seed", str(seed)],
        check=True,
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
