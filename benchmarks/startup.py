"""What it takes to say that there is nothing to do, process start included."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, seconds

ROOT = Path(__file__).parent.parent
REPEATS = 5


def bench() -> list[Row]:
    """Finish a short pipeline on digits, then repeat commands that have nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        run = ["run", "digits", "--recipe", "tests/tiny.toml", "-r", folder]
        _spice(*run)
        return [
            _row("`spice run digits` of a finished pipeline", run),
            _row("`spice status`", ["status", "-r", folder]),
            _row("`spice --help`", ["--help"]),
        ]


def _row(what: str, line: list[str]) -> Row:
    before = _processor()
    spent = [seconds(lambda: _spice(*line)) for _ in range(REPEATS)]
    each = (_processor() - before) / REPEATS
    note = f"{each:.2f} s of processor time each; slowest of {REPEATS}: {max(spent):.2f} s"
    return Row(what, "alone", "1,797 images", spent, [], note=note)


def _processor() -> float:
    """Seconds that finished children have used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spice(*line: str) -> None:
    command = [sys.executable, "-m", "spice_cli", *line]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
