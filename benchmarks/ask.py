"""ACC of `spice ask` as a function of answers, by someone who knows the true classes.

python -m benchmarks.ask RUN...                  # finished runs, e.g. runs/digits-seeds/seed-*
python -m benchmarks.ask RUN --rows 10000 --seeds 0 1 2    # so many of its images, drawn anew
python -m benchmarks ask                         # five seeds of digits, trained for it

The classes are looked at here alone: to answer, and to score. Runs are copied, not changed.
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

from spice_cli.ops.metrics import accuracy
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.ask import ask
from spice_cli.stages.asking import Asking
from spice_cli.stages.truth import truth
from spice_cli.track import Silent

COUNTS = (10, 20, 50, 100, 200)
SEEDS = 5
CPU = torch.device("cpu")
Labelled = tuple[Path, Tensor]


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
        return measured([labelled(run) for run in runs])


def labelled(path: Path) -> Labelled:
    """Return a run with the classes of its training images."""
    run = Run.open(path)
    labels = truth(run, None, lambda text: None)
    if labels is None:
        raise SystemExit(f"{path} has no true classes")
    return path, labels[: run.manifest.data.train]


def drawn(whole: Labelled, rows: int, seed: int, folder: Path) -> Labelled:
    """Make a run of some rows of one that clustered them all, by its features and its clusters."""
    source, labels = Run.open(whole[0]), whole[1]
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randperm(len(labels), generator=generator)[:rows].sort().values
    data = source.manifest.data.model_copy(
        update={"spec": None, "name": f"{rows} rows, seed {seed}", "train": rows, "test": 0}
    )
    run = Run.create(folder / str(seed), data, source.manifest.recipe, seed)
    names = {Stage.EMBED: "embeddings", Stage.SELF_LABEL: "probs"}
    for stage, name in names.items():
        record = source.record(stage)
        run.write(
            stage,
            {name: source.read(stage, name)[name][kept]},
            config={},
            inputs=run.inputs(*(() if stage is Stage.EMBED else (Stage.EMBED,))),
            seed=seed,
            environment=record.environment,
            seconds=0,
            imported=True,
        )
    return run.path, labels[kept]


def measured(runs: Sequence[Labelled]) -> str:
    """Lay out as Markdown what answers do to copies of some runs."""
    found = {ours: [answered(*each, ours=ours) for each in runs] for ours in (True, False)}
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
    lines += ["", f"Mean and deviation of {len(runs)} runs, which have {names} without answers."]
    return "\n".join(lines)


def answered(path: Path, labels: Tensor, *, ours: bool) -> list[tuple[float, float]]:
    """Return ACC after each number of answers, of all images and of those not asked about."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run.open(shutil.copytree(path, Path(folder, "run")))
        asking = Asking(run, CPU, Silent())
        answers = _answers(asking, labels)
        order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(0))
        scores = [_scores(run, asking, labels, answers)]
        for count in range(1, max(COUNTS) + 1):
            question = asking.next() if ours else None
            row = question.row if question else int(order[count - 1])
            asking.answer(row, int(answers[row]))
            if count in COUNTS:
                ask(asking, 0)
                scores.append(_scores(run, asking, labels, answers))
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


def _scores(run: Run, asking: Asking, labels: Tensor, answers: Tensor) -> tuple[float, float]:
    stage = Stage.ASK if asking.told else asking.asked.stage
    cluster = run.read(stage, "probs")["probs"][: len(labels)].argmax(1)
    left = torch.ones(len(labels), dtype=torch.bool)
    left[list(asking.answers)] = False
    right = float((cluster == answers)[left].double().mean())
    return accuracy(cluster, labels), right


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def main() -> None:
    """Measure the runs that were named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, help="of the first run, drawn with each of the seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    if not asked.rows:
        print(measured([labelled(run) for run in asked.runs]))
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = labelled(asked.runs[0])
        print(measured([drawn(whole, asked.rows, each, Path(folder)) for each in asked.seeds]))


if __name__ == "__main__":
    main()
