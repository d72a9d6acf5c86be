"""Run stages on the images of a file, alone or as one of the processes that torchrun started.

python chain.py IMAGES RUNS METHOD...
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from spice_cli.commands.devices import together
from spice_cli.data.load import resolve
from spice_cli.ops import shuffle
from spice_cli.run.manifest import Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import data_spec, stage_config
from spice_cli.stages import self_label, semi
from spice_cli.stages.images import describe
from spice_cli.stages.perform import perform
from spice_cli.track import Silent

OWN = {"moco": ["queue=128", "splits=8"], "pcl": ["queue=16", "prototypes=[4,8]"]}
STEPS = 20
SMALL = ["optimizer=sgd", "width=8", "lr=0.0001", "precision=fp32", "compile=off"]


def steps(method: str) -> dict[Stage, tuple[dict[str, Any], list[str]]]:
    """Return the flags and settings of the stages to run after pretraining by `method`."""
    chosen = {"method": method, "backbone": "resnet14", "epochs": STEPS, "batch_size": 64}
    chain: dict[Stage, tuple[dict[str, Any], list[str]]] = {
        Stage.PRETRAIN: ({**chosen, "clusters": 4}, [*SMALL, *OWN.get(method, [])])
    }
    embed = {Stage.EMBED: ({}, ["views=1", "batch_size=25", "precision=fp32"])}
    if method == "simclr":
        flags = {"method": "scan", "clusters": 4, "epochs": STEPS}
        sets = ["backbone=train", "batch_size=64", "neighbors=3", "lr=0.00001", "precision=fp32"]
        chain |= {**embed, Stage.SELF_LABEL: (flags, sets)}
    if method == "moco":
        sets = ["batch_size=8", "ratio=3", "stop=0", "lr=0.00001", "precision=fp32", "compile=off"]
        chain |= {
            **embed,
            Stage.SELF_LABEL: ({"method": "kmeans", "clusters": 4}, []),
            Stage.SELECT_RELIABLE: ({}, ["neighbors=5", "agreement=0.3", "confidence=0.0"]),
            Stage.SEMI: ({"steps": STEPS}, sets),
        }
    return chain


def work(images: str, runs: Path, methods: list[str]) -> None:
    """Run them all."""
    data = describe(data_spec({}, {"name": resolve(images)}), lambda text: None)
    for method in methods:
        run = Run.create(runs / method, data, Recipe(name="test", sections={}), seed=0)
        for stage, (flags, sets) in steps(method).items():
            config = stage_config(str(stage), {}, flags, sets, lambda text: None)
            device = torch.device("cpu")
            with run.lock():
                perform(run, stage, config, seed=0, device=device, track=Silent())
    raise SystemExit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    semi.ROUND = 1  # a line of the log a step
    semi.check_shares = self_label.check_share = lambda *_, **__: None  # noise has no clusters
    shuffle.BLOCK = 2**11
    if os.environ.get("RANK") == "1":
        os.environ["SPICE_MEMORY"] = "0.00001"  # less than the images: its order would be another
    together(lambda: work(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
