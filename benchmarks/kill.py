"""Kill a run at random moments, let it go on, compare every byte with a run never killed.

    python benchmarks/kill.py --trials 20 --seed 0

Runs every stage on digits once without interruption, then for each trial starts anew, sends
SIGKILL at a moment drawn uniformly from the time that the first run took, opens what is left, runs
the same command to its end and compares the artifacts. Exits 1 where any differs.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RECIPE = Path(__file__).parent.parent / "tests" / "tiny.toml"
STAGES = ["pretrain", "embed", "self-label", "select-reliable", "semi"]


@dataclass(frozen=True)
class Trial:
    """One run that was killed."""

    moment: float
    """Seconds after its start."""
    during: str
    """What it had not finished: a stage, or what comes before and after all stages."""
    fault: str
    """What went wrong afterwards; empty where nothing did."""


def uninterrupted(recipe: Path, run: Path) -> tuple[float, dict[str, str]]:
    """Run everything once; return the seconds it took and the hashes it left."""
    started = time.monotonic()
    done = subprocess.run(pipeline(recipe, run), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the uninterrupted run failed:\n{done.stderr}")
    return time.monotonic() - started, digests(run)


def study(
    recipe: Path, folder: Path, expected: dict[str, str], *, seconds: float, trials: int, seed: int
) -> list[Trial]:
    """Kill that many runs, each at a random moment of its first `seconds`.

    A run that ends before its moment does not count; then the machine became faster, so later
    moments are drawn from less time.
    """
    drawn = random.Random(seed)
    found: list[Trial] = []
    while len(found) < trials:
        run, moment = folder / f"killed-{len(found)}", drawn.uniform(0, seconds)
        if result := trial(recipe, run, moment=moment, expected=expected):
            print(line(len(found), result), flush=True)
            found.append(result)
        else:
            seconds *= 0.8
            shutil.rmtree(run)
    return found


def trial(recipe: Path, run: Path, *, moment: float, expected: dict[str, str]) -> Trial | None:
    """Kill a run at a moment, go on, compare; none if it ended before."""
    process = subprocess.Popen(
        pipeline(recipe, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=moment)
        return None
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if not (run / "run.json").exists():
        during = "start"
    else:
        opened = subprocess.run(spice("status", "-r", str(run)), capture_output=True, text=True)
        if opened.returncode:
            return Trial(moment, "?", f"does not open: {opened.stderr.strip()}")
        states = dict(each.split("\t") for each in opened.stdout.splitlines())
        if wrong := {"stale", "broken"} & set(states.values()):
            return Trial(moment, "?", f"opens with stages {' and '.join(wrong)}")
        during = next((stage for stage in STAGES if states[stage] != "done"), "evaluate")
    again = subprocess.run(pipeline(recipe, run), capture_output=True, text=True)
    if again.returncode:
        return Trial(moment, during, f"does not go on: {again.stderr.strip()[-400:]}")
    found = digests(run)
    other = [stage for stage in STAGES if found[stage] != expected[stage]]
    return Trial(moment, during, f"other bytes in {', '.join(other)}" if other else "")


def pipeline(recipe: Path, run: Path) -> list[str]:
    """Spell the command that does all, with a checkpoint after every epoch."""
    options = ["--recipe", str(recipe), "--checkpoint-seconds", "0", "-r", str(run)]
    return spice("run", "digits", *options)


def spice(*args: str) -> list[str]:
    """Spell a command of this Python's `spice`."""
    return [sys.executable, "-m", "spice_cli", *args]


def digests(run: Path) -> dict[str, str]:
    """Hash the artifact of every stage; empty where there is none."""
    files = {stage: run / f"{stage}.safetensors" for stage in STAGES}
    return {
        stage: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        for stage, file in files.items()
    }


def line(number: int, found: Trial) -> str:
    """One row of the table."""
    result = found.fault or "same bytes"
    return f"{number:>5}  {found.moment:>8.2f} s  {found.during:<16} {result}"


def main() -> None:
    """Print a row a trial, then the total."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    chosen = parser.parse_args()
    print(f"{'trial':>5}  {'killed at':>10}  {'during':<16} result")
    recipe = chosen.recipe.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, expected = uninterrupted(recipe, folder / "whole")
        found = study(
            recipe, folder, expected, seconds=seconds, trials=chosen.trials, seed=chosen.seed
        )
    good = sum(not each.fault for each in found)
    print(
        f"{good} of {len(found)} went on to the same bytes (seed {chosen.seed}, "
        f"uninterrupted {seconds:.1f} s)"
    )
    sys.exit(good < len(found))


if __name__ == "__main__":
    main()
