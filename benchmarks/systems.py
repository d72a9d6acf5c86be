"""Every system of the catalogue on equal ground, as Markdown for docs/results.md.

python -m benchmarks.systems FOLDER pretraining --seeds 0 1 2
python -m benchmarks.systems FOLDER heads --seeds 0 1 2 3 4
python -m benchmarks.systems FOLDER selection --seeds 0 1 2

On digits, in the recipe of their name, with only the method changed. Runs stay in FOLDER, and what
is there is not computed again, so that an interrupted measurement goes on. Ground truth is read by
`spice evaluate` alone, to report; nothing is chosen by it.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from spice_cli.catalog import HEADS, METHODS, SELECTIONS

Cells = dict[str, list[float]]
OWN = {"moco": ["pretrain.queue=512"]}
"""Settings beside the method's name: the queue must be smaller than the data set."""


def spice(*arguments: str) -> str:
    """Run a command; it gives back what it printed."""
    command = [sys.executable, "-m", "spice_cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def scores(run: Path, stage: str) -> dict[str, float]:
    """Evaluate a stage."""
    found: dict[str, float] = json.loads(
        spice("evaluate", "-r", str(run), "--stage", stage, "--json")
    )
    return found


def record(run: Path, stage: str) -> dict[str, Any]:
    """Read a stage's record."""
    found: dict[str, Any] = json.loads((run / "run.json").read_text())["stages"][stage]
    return found


def collect(cells: Cells, found: dict[str, float]) -> None:
    """Append each value to the list of its name."""
    for name, value in found.items():
        cells.setdefault(name, []).append(value)


def table(rows: dict[str, Cells]) -> str:
    """Lay out means and deviations."""
    names = list(dict.fromkeys(name for cells in rows.values() for name in cells))
    lines = [f"| method | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for method, cells in rows.items():
        told = [_told(cells[name]) if name in cells else "" for name in names]
        lines.append(f"| `{method}` | {' | '.join(told)} |")
    return "\n".join(lines)


def _told(values: list[float]) -> str:
    if max(map(abs, values)) > 2:
        return f"{mean(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
    spread = f" +- {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def pretraining(folder: Path, seeds: Iterable[int]) -> dict[str, Cells]:
    """K-means and kNN on the features of every pretraining method."""
    rows: dict[str, Cells] = {}
    for method in METHODS:
        for seed in seeds:
            run = folder / f"{method}-{seed}"
            change = [f"pretrain.method={method}", *OWN.get(method, [])]
            flags = [part for text in change for part in ("--set", text)]
            spice("run", "digits", "-r", str(run), "--seed", str(seed), "--until", "embed", *flags)
            found = scores(run, "embed")
            kept = {name: found[name] for name in ("acc", "nmi", "ari", "knn") if name in found}
            own = record(run, "pretrain")
            if {"projections", "probs"} & own["tensors"].keys():
                kept["own clusters, acc"] = scores(run, "pretrain")["acc"]
            collect(rows.setdefault(method, {}), {**kept, "seconds": own["seconds"]})
    return rows


def heads(folder: Path, seeds: Iterable[int]) -> dict[str, Cells]:
    """Every head method on the same embeddings, seed by seed."""
    rows: dict[str, Cells] = {}
    for seed in seeds:
        base = folder / f"simclr-{seed}"
        spice("run", "digits", "-r", str(base), "--seed", str(seed), "--until", "embed")
        collect(rows.setdefault("k-means by evaluate", {}), _clustered(scores(base, "embed")))
        for method in HEADS:
            run = _copy(base, folder / f"head-{method}-{seed}")
            spice("self-label", "-r", str(run), "--method", method, "--seed", str(seed))
            found = _clustered(scores(run, "self-label"))
            collect(
                rows.setdefault(method, {}),
                {**found, "seconds": record(run, "self-label")["seconds"]},
            )
    return rows


def selection(folder: Path, seeds: Iterable[int]) -> dict[str, Cells]:
    """Every way to select, on the same clusters, and what `semi` makes of it."""
    rows: dict[str, Cells] = {}
    for seed in seeds:
        base = folder / f"whole-{seed}"
        spice("run", "digits", "-r", str(base), "--seed", str(seed), "--until", "self-label")
        for method in SELECTIONS:
            run = _copy(base, folder / f"select-{method}-{seed}")
            spice("select-reliable", "-r", str(run), "--method", method)
            spice("semi", "-r", str(run))
            kept = record(run, "select-reliable")["tensors"]["index"]["shape"][0]
            total = json.loads((run / "run.json").read_text())["data"]["train"]
            found = {
                "share kept": kept / total,
                "purity": scores(run, "select-reliable")["acc"],
                "acc before": scores(run, "self-label")["acc"],
                "acc after semi": scores(run, "semi")["acc"],
            }
            collect(rows.setdefault(method, {}), found)
    return rows


def _clustered(found: dict[str, float]) -> dict[str, float]:
    return {name: found[name] for name in ("acc", "nmi", "ari")}


def _copy(source: Path, target: Path) -> Path:
    if not target.exists():
        shutil.copytree(source, target)
    return target


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=["pretraining", "heads", "selection"])
    parser.add_argument("--only", nargs="+", help="some of the methods")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    choices = parser.parse_args()
    choices.folder.mkdir(parents=True, exist_ok=True)
    for table_of in (METHODS, HEADS, SELECTIONS):
        for name in set(table_of) - set(choices.only or table_of):
            del table_of[name]
    rows = globals()[choices.what](choices.folder, choices.seeds)
    print(f"seeds {' '.join(map(str, choices.seeds))}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
