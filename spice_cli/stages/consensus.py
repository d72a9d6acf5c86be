"""The clusters that runs of several seeds, and the heads of each, agree on: a run of its own."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from spice_cli.errors import InvalidError
from spice_cli.ops.consensus import consensus
from spice_cli.ops.quality import stability
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.perform import environment
from spice_cli.stages.stored_heads import clusters_of_heads
from spice_cli.track import Track

NAME = "consensus"
STAGES = (Stage.SELF_LABEL, Stage.SEMI)
"""Those that leave probabilities."""


def unite(family: Path, runs: Sequence[Run], stages: Sequence[Stage], track: Track) -> Run:
    """Bring the run `consensus` of a family up to date: of each stage, what its `runs` agree on.

    Clusters are matched by the training images. Each run counts the same; where all of them stored
    as many heads that can be read again, so does each head.
    """
    first = runs[0].manifest
    united = Run.create(family / NAME, first.data, first.recipe, seed=first.seed)
    for stage in stages:
        sources = {run.path.name: run.record(stage).sha256 for run in runs}
        config = {"method": NAME, "from": {"members": sources}}
        with united.lock():
            if united.up_to_date(stage, config, united.inputs(), first.seed):
                track.say(f"`{stage}` of {united.path} is up to date")
                continue
            found = _clusterings(runs, stage)
            if len({probs.shape for probs in found}) > 1:
                raise InvalidError(f"`{stage}` has not as many clusters in all runs of `{family}`")
            united.write(
                stage,
                {"probs": consensus(found, first.data.train)},
                config=config,
                inputs=united.inputs(),
                seed=first.seed,
                environment=environment(torch.device("cpu"), "fp32"),
                seconds=0.0,
                imported=True,
            )
            track.say(f"`{stage}` of {united.path}: {len(found)} clusterings of {len(runs)} runs")
    return united


def _clusterings(runs: Sequence[Run], stage: Stage) -> list[Tensor]:
    """Return what runs say of all images, (n, k) each: the clusters of all heads, else probs."""
    probs = [run.read(stage, "probs")["probs"].float() for run in runs]
    if stage is Stage.SELF_LABEL:
        heads = [clusters_of_heads(run) for run in runs]
        counts = {0 if each is None else len(each) for each in heads}
        if len(counts) == 1 and max(counts) > 1:
            k = probs[0].shape[1]
            return [F.one_hot(row, k).float() for each in heads if each is not None for row in each]
    return probs


def stability_of(runs: Sequence[Run], stage: Stage) -> dict[str, float]:
    """Return the mean `ari` and `nmi` over all pairs of runs, on the images that count."""
    data = runs[0].manifest.data
    scored = slice(data.train, None) if data.protocol == "split" else slice(None)
    labels = [run.read(stage, "probs")["probs"].argmax(1)[scored] for run in runs]
    return stability(torch.stack(labels))
