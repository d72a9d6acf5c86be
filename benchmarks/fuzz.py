"""Hand every reader files that somebody made to do harm, or that an accident made.

    python -m benchmarks.fuzz --cases 10000 --images 2000 --seed 0

Each case is a valid file that was changed by bytes, cut, or rewritten in its JSON, drawn by the
seed and its number; a reader may return or raise `SpiceError`, nothing else, within `SECONDS` and
`ROOM` bytes. Prints what did otherwise, with the number that `--only` repeats, and a table. Exits 1
where anything did.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import io
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks import fuzz_cases
from benchmarks.machine import processor, revision
from spice_cli.errors import SpiceError

SECONDS = 20
"""Of computing."""
WAITED = 120
"""Seconds after which a case waits for something that never comes, and everything ends."""
ROOM = 2**30


class Hang(BaseException):
    """A case took too long."""


def attempt(read: Callable[[], object]) -> tuple[str, str]:
    """Let a reader read; return how that ended, and what was wrong, if anything."""

    def late(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(WAITED, exit=True)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            read()
        return "read", ""
    except SpiceError as error:
        return "refused", "" if str(error) and "\n" not in str(error) else f"says {error!r}"
    except Hang:
        return "hung", "it hung"
    except BaseException:
        return "failed", traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def resident() -> int:
    """Return the bytes that are held now; from here on the peak is counted, where that goes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return _told("VmRSS")
    return peak()


def peak() -> int:
    """Return the most bytes that were held."""
    with contextlib.suppress(OSError):
        return _told("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _told(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def study(name: str, cases: range, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Try cases of one kind; return how they ended and what was wrong."""
    kind = fuzz_cases.KINDS[name](folder)
    ends: Counter[str] = Counter()
    wrong = []
    for number in cases:
        draw = random.Random(f"{seed}/{name}/{number}")
        case = kind(draw)
        before = resident()
        end, fault = attempt(case)
        grown = peak() - before
        if not fault and grown > ROOM:
            end, fault = "too large", f"took {grown / 2**30:.2f} GiB"
        ends[end] += 1
        if fault:
            wrong.append(f"{name} {number}: {fault}")
    return ends, wrong


def main() -> None:
    """Print what went wrong, then a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, help="manifests, and as many headers")
    parser.add_argument("--images", type=int, default=2_000, help="images")
    parser.add_argument(
        "--others", type=int, default=500, help="of every other kind; sparse tars fewer"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(fuzz_cases.KINDS))
    parser.add_argument("--only", type=int, help="repeat this one")
    chosen = parser.parse_args()
    counts = {"manifest": chosen.cases, "safetensors": chosen.cases, "image": chosen.images}
    counts["sparse tar"] = chosen.others // 25
    started, bad = time.monotonic(), 0
    rows = []
    warnings.simplefilter("ignore")
    for name in chosen.kinds:
        cases = range(counts.get(name, chosen.others))
        if chosen.only is not None:
            cases = range(chosen.only, chosen.only + 1)
        with tempfile.TemporaryDirectory() as folder:
            ends, wrong = study(name, cases, chosen.seed, Path(folder))
        for text in wrong:
            print(text, flush=True)
        bad += len(wrong)
        rows.append(
            f"| {name} | {ends.total()} | {ends['read']} | {ends['refused']} | {len(wrong)} |"
        )
    print("| what | n | read | refused | anything else |\n|---|---|---|---|---|")
    print("\n".join(rows))
    minutes = (time.monotonic() - started) / 60
    print(f"seed {chosen.seed}, {minutes:.1f} min, {processor()}, {revision()}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
