"""Whether what can be said without labels tracks ACC, over many runs on digits.

python benchmarks/track.py FOLDER
python benchmarks/track.py FOLDER --seeds 0 1 2 --epochs 2 5 10 30 60 --heads 1 10

Prints Spearman's rank correlations as Markdown. Runs are kept in the folder, so that an interrupted
bench goes on where it was. ACC comes from `evaluate` alone and nothing is chosen by it.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from statistics import mean

from scipy.stats import spearmanr

from spice_cli import __version__
from spice_cli.ops.quality import stability
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import assignments
from spice_cli.stages.evaluate import Choices, evaluate
from spice_cli.track import Silent

Numbers = dict[str, float]
SIGNS = {"selection loss": -1, "largest share": -1, "mean cosine": -1}
"""Of which less is better; all others are better the more there is of them."""


def spice(*arguments: str) -> str:
    """Run a command and return its stdout; what it says to people goes with its failure."""
    command = [sys.executable, "-m", "spice_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-400:]}")
    return done.stdout


def measure(path: Path, seed: int, epochs: int, heads: int) -> Numbers | None:
    """Run up to `self-label` what is not up to date; None where it collapsed."""
    sets = [f"pretrain.epochs={epochs}", f"self-label.heads={heads}"]
    flags = [part for each in sets for part in ("--set", each)]
    try:
        spice(
            "run", "digits", "-r", str(path), "--seed", str(seed), "--until", "self-label", *flags
        )
    except RuntimeError as error:
        print(f"left out, {path.name}: {error}", file=sys.stderr)
        return None
    found: Numbers = {}
    for stage in (Stage.EMBED, Stage.SELF_LABEL):
        said = evaluate(Run.open(path), Choices(metrics=("acc",), stage=stage), Silent())
        found[f"{stage} ACC"] = said.scores["acc"]
        found[f"{stage} silhouette"] = said.label_free.get("silhouette", float("nan"))
        found["RankMe"] = said.label_free["rankme"]
    found["mean cosine"] = _log(path, "embed")[-1]["mean_cosine"]
    last = min(_log(path, "self-label"), key=lambda line: line["selection_loss"])
    found["selection loss"] = last["selection_loss"]
    found["largest share"] = last["largest_share"]
    found["head agreement"] = last.get("agreement", float("nan"))
    return found


def correlate(rows: list[Numbers], target: str, names: Iterable[str]) -> list[str]:
    """Lay out rank correlations with `target`, signed so that 1 is perfect tracking."""
    lines = []
    for name in names:
        pairs = [(row[name], row[target]) for row in rows if row[name] == row[name]]
        if len(pairs) > 2 and all(len(set(column)) > 1 for column in zip(*pairs, strict=True)):
            rho = SIGNS.get(name, 1) * spearmanr(*zip(*pairs, strict=True)).statistic
            lines.append(f"| {name} | {target} | {rho:+.2f} | {len(pairs)} |")
    return lines


def main() -> None:
    """Run everything, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 5, 10, 20, 40, 60])
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 10])
    choices = parser.parse_args()
    rows: list[Numbers] = []
    settings: list[Numbers] = []
    for epochs, heads in product(choices.epochs, choices.heads):
        paths = {s: choices.folder / f"e{epochs}-h{heads}-s{s}" for s in choices.seeds}
        done = {s: measure(path, s, epochs, heads) for s, path in paths.items()}
        own = [row for row in done.values() if row]
        rows += own
        runs = [Run.open(paths[s]) for s, row in done.items() if row]
        if len(runs) > 1:
            labels = [assignments(run, Stage.SELF_LABEL, None).cluster for run in runs]
            acc = mean(row["self-label ACC"] for row in own)
            settings.append({"stability over seeds": stability(labels)["ari"], "mean ACC": acc})
    print(f"spice {__version__}, digits, {len(rows)} runs, {len(settings)} settings\n")
    print("| label-free | against | Spearman's rho | n |\n|---|---|---|---|")
    features = ("RankMe", "mean cosine", "embed silhouette")
    heads = ("selection loss", "head agreement", "self-label silhouette", "largest share")
    lines = correlate(rows, "embed ACC", features)
    lines += correlate(rows, "self-label ACC", (*features, *heads))
    lines += correlate(settings, "mean ACC", ("stability over seeds",))
    print("\n".join(lines))


def _log(path: Path, stage: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (path / f"{stage}.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
