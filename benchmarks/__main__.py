"""Run benches against their peers, print the ratios, and write them into docs/benchmarks.md.

python -m benchmarks                    # all of them, about half an hour on two cores
python -m benchmarks neighbors kmeans   # some
python -m benchmarks augment --dry      # print only

Peers come with `pip install -e '.[bench]'`. A bench is a module of this package with
`bench() -> list[Row]`, or `bench() -> str` for Markdown of its own; to add one, add its line below.
"""

import argparse
import os
import platform
import re
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from benchmarks.machine import processor
from benchmarks.measure import Row

BENCHES = {
    "roofline": "The matrix products that the hardware can do",
    "augment": "Augmentation",
    "step": "A training step",
    "self_label": "Self-labelling",
    "neighbors": "Exact nearest neighbours",
    "kmeans": "K-means",
    "metrics": "Metrics",
    "digits": "The whole of `spice run digits`",
    "startup": "Nothing to do",
    "ask": "Answers",
    "predict": "Predictions",
    "growth": "Costs as they grow",
    "scale": "Measured",
    "memory": "Peaks",
}
PEERS = ("torch", "torchvision", "kornia", "lightly", "faiss-cpu", "scikit-learn", "scipy")
DOCS = Path(__file__).parent.parent / "docs"
PAGES = {"scale": "scale.md", "memory": "scale.md"}
"""Where a bench is written, if not in `benchmarks.md`."""


def table(rows: list[Row]) -> str:
    """Lay the rows out as Markdown."""
    lines = ["| what | n | ours | peer | ratio | goal |", "|---|---|---|---|---|---|"]
    for row in rows:
        peer = f"{row.peer}: {_times(row.theirs, row.units)}" if row.theirs else "-"
        ratio = f"**{row.ratio:.2f}**" if row.ratio else "-"
        goal = f"{row.goal:g}" if row.goal else ""
        ours = _times(row.ours, row.units)
        lines.append(f"| {row.what} | {row.n} | {ours} | {peer} | {ratio} | {goal} |")
    notes = [f"- {row.what}, {row.peer}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def header() -> str:
    """Say what the figures were taken on."""
    found = []
    for name in PEERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return (
        f"{device}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{', '.join(found)}; {time.strftime('%Y-%m-%d')}. Medians (least to most) of the repeats "
        "given in brackets."
    )


def record(name: str, body: str) -> None:
    """Put a bench's section into its page, in the place of its last one."""
    page = DOCS / PAGES.get(name, "benchmarks.md")
    text = page.read_text()
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    section = f"{start}\n## {BENCHES[name]}\n\n{body}\n{end}"
    if start in text:
        pattern = re.escape(start) + ".*?" + re.escape(end)
        text = re.sub(pattern, lambda _: section, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    page.write_text(text)


def _times(values: list[float], units: float | None) -> str:
    middle = median(values)
    spread = f"({_second(min(values))} to {_second(max(values))}) [{len(values)}]"
    rate = f", {units / middle:,.0f}/s" if units else ""
    return f"{_second(middle)} {spread}{rate}"


def _second(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def main() -> None:
    """Run the benches that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="BENCH", help=", ".join(BENCHES))
    parser.add_argument("--dry", action="store_true", help="leave docs/ alone")
    choices = parser.parse_args()
    unknown = set(choices.names) - BENCHES.keys()
    if unknown:
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    for name in choices.names or BENCHES:
        found = import_module(f"benchmarks.{name}").bench()
        body = f"{header()}\n\n{found if isinstance(found, str) else table(found)}"
        print(f"## {BENCHES[name]}\n\n{body}\n", flush=True)
        if not choices.dry:
            record(name, body)


if __name__ == "__main__":
    main()
