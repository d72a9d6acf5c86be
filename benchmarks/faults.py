"""Let anything go wrong at any moment, repeat the command, compare every byte.

    python -m benchmarks.faults --faults 1000 --seed 0

Runs every stage and the evaluation on 48 small images, then for each fault starts from a run of
0 to 5 finished stages, has something drawn by the seed happen (`benchmarks/fault_kinds.py`), and
looks: the command ended with 0 or with one clear error and its exit code, or by the signal; no
stage that was finished is lost; the same command again, or after what the error's hint says, ends
with 0 and the artifacts of a run that nothing happened to. Prints what did not, with the number
that `--only` repeats, and a table. Exits 1 where anything was wrong.
"""

import argparse
import hashlib
import json
import mmap
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import forked
from benchmarks.fault_kinds import KINDS, ROOM, Trial, listen, readers
from benchmarks.forked import End

STAGES = ["pretrain", "embed", "self-label", "select-reliable", "semi"]
CODES = {0, 3, 4, 130, 143}
SIGNALS = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
RECIPE = """
[pretrain]
method = "simclr"
backbone = "small"
width = 4
epochs = 2
batch_size = 24
lr = 0.05
views = { flip = 0.0, crop = [0.7, 1.0], saturation = 0.0, hue = 0.0, gray = 0.0, blur = 0.0 }
[embed]
batch_size = 10
views = 1
[self-label]
views = "live"
heads = 2
epochs = 3
batch_size = 48
clusters = 3
passes = 4
entropy = 5.0
weak = { pad = 1, flip = 0.0 }
strong = { flip = 0.0, cutout = 0.2, operations = 1 }
[select-reliable]
neighbors = 4
agreement = 0.1
confidence = 0.0
min_per_cluster = 4
[semi]
steps = 40
batch_size = 4
ratio = 1
stop = 0
weak = { pad = 1, flip = 0.0 }
strong = { policy = "scan", flip = 0.0, operations = 1, cutout = 0.2, pad = 1 }
"""


def cut_small() -> None:
    """Have so few images decoded and embedded into several shards, with checkpoints between."""
    from spice_cli.data import journal, mapped
    from spice_cli.stages import room

    mapped.SHARD, journal.BETWEEN, room.KEPT = 4 * mmap.PAGESIZE, 2**13, 0


@dataclass
class Known:
    """What happens where nothing happens."""

    digests: dict[str, str]
    out: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    """What commands print, by how many stages are finished before where that matters, else 0."""
    written: list[int] = field(default_factory=list)
    """Bytes in the folder afterwards."""
    seconds: list[float] = field(default_factory=list)
    """Of the command, by how many stages are finished before."""
    calls: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0


class Study:
    """Runs of 0 to 5 finished stages to begin from, and what becomes of them."""

    def __init__(self, place: Path, seed: int, disk: Path | None) -> None:
        self.place, self.seed, self.disk = place, seed, disk
        self.folder = place / "trial"
        self.known = Known({})
        os.environ["SPICE_DATA"] = str(self.folder / "home")

    def prepare(self) -> None:
        """Run what nothing happens to, and keep its run after every stage."""
        images(self.place / "0" / "images")
        (self.place / "0" / "recipe.toml").write_text(RECIPE)
        (self.place / "0" / "home").mkdir()
        command = self.begin(random.Random(0), 0).command
        end = forked.warm(command, self.folder)
        if end.code:
            raise SystemExit(f"the undisturbed run failed: {end.err}")
        cut_small()
        for done, stage in enumerate(STAGES):
            trial = self.begin(random.Random(0), done)
            end = forked.run([*trial.command, "--until", stage])
            if end.code:
                raise SystemExit(f"the undisturbed run failed: {end.err}")
            shutil.copytree(self.folder, self.place / str(done + 1))
        heard = self.place / "heard"
        for done in range(len(STAGES) + 1):
            trial = self.begin(random.Random(0), done)
            end = forked.run(trial.command, lambda: note(self.folder, heard))
            self.known.seconds.append(end.seconds)
            text = heard.read_text()
            self.known.calls.append((text.count("r"), text.count("w")))
            heard.unlink()
            found = digests(trial.run)
            self.known.digests = self.known.digests or found
            if end.code or found != self.known.digests:
                raise SystemExit(f"undisturbed runs differ, or fail: {end.err}")
            self.known.out[0, *trial.command] = end.out
            self.known.written.append(sum(f.stat().st_size for f in files(self.folder)))
        self.known.size = max(file.stat().st_size for file in trial.run.iterdir())
        for done in range(2, len(STAGES) + 1):
            trial = self.begin(random.Random(0), done)
            for command in readers(trial.run):
                self.known.out[done, *command] = forked.run(command).out

    def begin(self, draw: random.Random, done: int) -> Trial:
        """Lay out a run of that many finished stages."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.place / str(done), self.folder)
        known = self.known
        measured = len(known.written) > done
        before = sum(file.stat().st_size for file in files(self.folder))
        return Trial(
            folder=self.folder,
            draw=draw,
            seconds=known.seconds[done] if measured else 0,
            calls=known.calls[done] if measured else (0, 0),
            size=known.size,
            written=known.written[done] - before if measured else 0,
            disk=self.disk,
            run=self.folder / "run",
        )

    def fault(self, index: int, kinds: list[str]) -> tuple[str, str, str, str]:
        """Let one happen; return its kind, what was drawn, how it ended and what was wrong."""
        draw = random.Random(f"{self.seed}/{index}")
        kind, done = draw.choice(kinds), draw.randrange(len(STAGES) + 1)
        trial = self.begin(draw, done)
        before = finished(trial.run)
        ends = KINDS[kind](trial)
        wrong = [text for end in ends for text in self.faults_of(end)]
        for undo in reversed(trial.after):
            undo()
        if not trial.hint and lost(before, trial.run):
            wrong.append(f"lost {lost(before, trial.run)}")
        wrong += self.repeat(trial)
        told = f"{done} stages done, {', '.join(trial.notes)}"
        return kind, told, " then ".join(named(end) for end in ends), "; ".join(wrong)

    def repeat(self, trial: Trial) -> list[str]:
        """Run the command again, after what hints say where the fault lasts; say what is wrong."""
        wrong = []
        for _ in range(4):
            end = forked.run(trial.command)
            wrong += self.faults_of(end)
            if end.code == 0 or not trial.hint:
                break
            wrong += self.mend(end)
        if end.code:
            return [*wrong, f"does not go on: {named(end)}: {end.err[-600:]}"]
        wrong += self.faults_of(forked.run(trial.command))
        found = digests(trial.run)
        other = [name for name, mark in self.known.digests.items() if found.get(name) != mark]
        return [*wrong, *([f"other bytes in {', '.join(other)}"] if other else [])]

    def mend(self, end: End) -> list[str]:
        """Do what an error's hint says."""
        hint = end.err.split("hint: ")[-1].strip() if "hint: " in end.err else ""
        if not hint.startswith(("spice ", "cp ")):
            return [f"no command mends it: {end.err[-600:]}"]
        wrong = []
        for command in hint.split(" && "):
            words = shlex.split(command)
            if words[0] == "cp":
                subprocess.run(words, check=True)
            else:
                wrong += self.faults_of(forked.run(words[1:]))
        return wrong

    def faults_of(self, end: End) -> list[str]:
        """Say what is wrong with how a command ended."""
        wrong = []
        if end.code not in CODES | SIGNALS:
            wrong.append(f"{named(end)}: {end.err[-1500:]}")
        if "Traceback" in end.err or "Exception ignored" in end.err:
            wrong.append(f"a traceback: {end.err[-3000:]}")
        errors = sum(line.startswith("error: ") for line in end.err.splitlines())
        if end.code > 0 and errors != 1:
            wrong.append(f"{named(end)} with {errors} errors: {end.err[-600:]}")
        done = 0 if end.command[0] == "run" else len(finished(self.folder / "run"))
        if end.code == 0 and self.known.out.get((done, *end.command), end.out) != end.out:
            wrong.append(f"another result: {end.out}")
        return wrong


def files(folder: Path) -> list[Path]:
    """List all files below a folder."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def images(folder: Path) -> None:
    """Write 48 images of scikit-learn's digits 0 to 2."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True)
    source = load_digits()
    rows = np.flatnonzero(source.target < 3)[:48]
    for row in rows:
        grey = np.rint(source.images[row] * (255 / 16)).astype(np.uint8)
        kind = folder / str(source.target[row])
        kind.mkdir(exist_ok=True)
        Image.fromarray(grey).save(kind / f"{row}.png")


def note(folder: Path, heard: Path) -> None:
    """Write down every call below a folder."""
    descriptor = os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    listen(folder, lambda path, writes: os.write(descriptor, b"w" if writes else b"r") and None)


def digests(run: Path) -> dict[str, str]:
    """Hash what the stages and the evaluation left."""
    names = [*(f"{stage}.safetensors" for stage in STAGES), "evaluate.json", "confusion.png"]
    files = [run / name for name in names]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def finished(run: Path) -> dict[str, str]:
    """Return the hash of each stage that the manifest calls finished."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        stages = json.loads((run / "run.json").read_text())["stages"]
        return {name: record["sha256"] for name, record in stages.items()}
    return {}


def lost(before: dict[str, str], run: Path) -> str:
    """Name the stages that were finished and are no longer."""
    after = finished(run)
    return ", ".join(name for name, mark in before.items() if after.get(name) != mark)


def named(end: End) -> str:
    """Spell how a command ended."""
    return signal.Signals(-end.code).name if end.code < 0 else str(end.code)


def mounted(place: Path) -> Path | None:
    """Give a folder a disk in memory of its own, where that is allowed."""
    options = ["-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)]
    with suppress(OSError, subprocess.CalledProcessError):
        subprocess.run(["mount", *options], check=True, capture_output=True)
        return place
    return None


def main() -> None:
    """Print every fault that was not taken well, then the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600, help="begin none after so many")
    parser.add_argument("--only", type=int, help="repeat this one")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--verbose", action="store_true", help="print every one")
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    started = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    disk = mounted(place)
    kinds = [kind for kind in chosen.kinds if disk or kind != "disk full"]
    try:
        place.chmod(0o755)
        study = Study(place, chosen.seed, disk)
        study.prepare()
        found: Counter[tuple[str, str]] = Counter()
        bad = 0
        numbered = range(chosen.first, chosen.first + chosen.faults)
        indices = numbered if chosen.only is None else [chosen.only]
        for index in indices:
            if time.monotonic() - started > 60 * chosen.minutes:
                break
            kind, told, ended, wrong = study.fault(index, kinds)
            found[kind, ended] += 1
            bad += bool(wrong)
            if wrong or chosen.verbose or chosen.only is not None:
                print(f"{index}: {kind}, {told}: {ended}: {wrong or 'well'}", flush=True)
    finally:
        if disk:
            subprocess.run(["umount", "-l", str(disk)], check=True)
        shutil.rmtree(place, ignore_errors=True)
    report(found, bad, chosen.seed, time.monotonic() - started)
    sys.exit(bool(bad))


def report(found: Counter[tuple[str, str]], bad: int, seed: int, seconds: float) -> None:
    """Print how commands ended, by the kind of fault."""
    print("| fault | n | how the command ended |\n|---|---|---|")
    for kind in KINDS:
        ends = {end: n for (each, end), n in found.items() if each == kind}
        if ends:
            listed = ", ".join(f"{e} ({n})" for e, n in sorted(ends.items(), key=lambda x: -x[1]))
            print(f"| {kind} | {sum(ends.values())} | {listed} |")
    total = found.total()
    print(f"{total - bad} of {total} taken well (seed {seed}, {seconds / 60:.1f} min)")


if __name__ == "__main__":
    main()
