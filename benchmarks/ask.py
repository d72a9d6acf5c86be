"""ACC of `spice ask` as a function of answers, by someone who knows the true classes.

python -m benchmarks.ask RUN...    # copies of finished runs, e.g. runs/digits-seeds/seed-*
python -m benchmarks ask           # five seeds of digits, trained for it

The classes are looked at here alone: to answer, and to score.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.ask import ask
from spice_cli.stages.asking import Asking
from spice_cli.stages.evaluate import Choices, evaluate
from spice_cli.stages.truth import truth
from spice_cli.track import Silent

COUNTS = (10, 25, 50, 100)
SEEDS = 5
CPU = torch.device("cpu")


def bench() -> str:
    """Train five seeds of digits as far as `self-label`, and answer questions about each."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder, str(seed)) for seed in range(SEEDS)]
        for seed, run in enumerate(runs):
            command = [sys.executable, "-m", "spice_cli", "run", "digits", "--until", "self-label"]
            subprocess.run(
                [*command, "--seed", str(seed), "-r", str(run)],
                check=True,
                env=dict(os.environ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return measured(runs)


def measured(paths: Sequence[Path]) -> str:
    """Lay out as Markdown what answers do to copies of some runs."""
    found = {ours: [answered(path, ours=ours) for path in paths] for ours in (True, False)}
    lines = [
        "| answers | ACC, our questions | images not asked about | ACC, random questions | "
        "images not asked about |",
        "|---|---|---|---|---|",
    ]
    for place, count in enumerate((0, *COUNTS)):
        cells = []
        for ours in (True, False):
            cells += [_spread([each[place][part] for each in found[ours]]) for part in (0, 1)]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    names = ", ".join(f"{each[0][0]:.4f}" for each in found[True])
    lines += ["", f"Mean and deviation of {len(paths)} runs, which have {names} without answers."]
    return "\n".join(lines)


def answered(path: Path, *, ours: bool) -> list[tuple[float, float]]:
    """Return ACC after each number of answers, of all images and of those not asked about."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.open(shutil.copytree(path, Path(folder, "run")))
        asking = Asking(run, CPU, Silent())
        labels = truth(run, None, lambda text: None)
        if labels is None:
            raise SystemExit(f"{path} has no true classes")
        answers = _answers(asking, labels[: run.manifest.data.train])
        order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(0))
        scores = [(_accuracy(run, asking.asked.stage), _left(run, asking, answers))]
        for count in range(1, max(COUNTS) + 1):
            question = asking.next() if ours else None
            row = question.row if question else int(order[count - 1])
            asking.answer(row, int(answers[row]))
            if count in COUNTS:
                ask(asking, 0)
                scores.append((_accuracy(run, Stage.ASK), _left(run, asking, answers)))
        return scores


def _answers(asking: Asking, labels: Tensor) -> Tensor:
    """Return the cluster (n,) that each image should be in: its class's, matched one to one."""
    run, stage = asking.run, asking.asked.stage
    cluster = run.read(stage, "probs")["probs"][: len(labels)].argmax(1)
    classes = int(labels.max()) + 1
    counts = torch.zeros(max(classes, asking.clusters), classes)
    counts.index_put_((cluster, labels), torch.ones(len(labels)), accumulate=True)
    clusters, of = linear_sum_assignment(counts.numpy(), maximize=True)
    matched = torch.zeros(classes, dtype=torch.int64)
    matched[torch.from_numpy(of)] = torch.from_numpy(clusters)[: len(of)]
    return matched[labels]


def _accuracy(run: Run, stage: Stage) -> float:
    return evaluate(run, Choices(metrics=("acc",), stage=stage), Silent()).scores["acc"]


def _left(run: Run, asking: Asking, answers: Tensor) -> float:
    stage = Stage.ASK if asking.told else asking.asked.stage
    probs = run.read(stage, "probs")["probs"][: len(answers)]
    left = torch.ones(len(answers), dtype=torch.bool)
    left[list(asking.answers)] = False
    return float((probs.argmax(1) == answers)[left].double().mean())


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def main() -> None:
    """Measure the runs that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    print(measured(parser.parse_args().runs))


if __name__ == "__main__":
    main()
