from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spice_cli.config.data import DataSpec
from spice_cli.run.manifest import Data, Environment, Recipe, Record, Stage
from spice_cli.run.store import Run

HERE = Environment(spice="0", torch="2", python="3", device="cpu", precision="fp32")
TRAIN, TEST, CLUSTERS = 6, 2, 3


def artifact(stage: Stage, seed: int = 0) -> dict[str, Tensor]:
    """A valid artifact of a run with 6 training and 2 test images."""
    g = torch.Generator().manual_seed(seed)
    n = TRAIN + TEST
    probs = torch.rand(n, CLUSTERS, generator=g).softmax(1)
    rows = torch.nn.functional.normalize(torch.randn(n, 4, generator=g), dim=1)
    return {
        Stage.PRETRAIN: {"backbone.conv.weight": torch.randn(2, 3, 3, 3, generator=g)},
        Stage.EMBED: {"embeddings": rows},
        Stage.SELF_LABEL: {
            "heads.0.weight": torch.randn(2, 4, CLUSTERS, generator=g),
            "losses": torch.rand(2, generator=g),
            "probs": probs,
        },
        Stage.SELECT_RELIABLE: {
            "index": torch.tensor([4, 0, 2]),
            "label": torch.tensor([0, 1, 2]),
            "consistency": torch.rand(TRAIN, generator=g),
        },
        Stage.SEMI: {"model.fc.bias": torch.randn(3, generator=g), "probs": probs},
        Stage.ASK: {"heads.weight1": torch.randn(1, 4, 5, generator=g), "probs": probs},
    }[stage]


READS: dict[Stage, tuple[Stage, ...]] = {
    Stage.PRETRAIN: (),
    Stage.EMBED: (Stage.PRETRAIN,),
    Stage.SELF_LABEL: (Stage.EMBED,),
    Stage.SELECT_RELIABLE: (Stage.EMBED, Stage.SELF_LABEL),
    Stage.SEMI: (Stage.PRETRAIN, Stage.SELECT_RELIABLE),
    Stage.ASK: (Stage.SEMI,),
}


def finish(run: Run, stage: Stage, seed: int = 0, **changes: Any) -> Record:
    how: dict[str, Any] = {
        "config": {"crop": (0.2, 1.0)},
        "seed": seed,
        "environment": HERE,
        "seconds": 1.5,
    }
    if "inputs" not in changes:
        how["inputs"] = run.inputs(*READS[stage])
    return run.write(stage, artifact(stage, seed), **{**how, **changes})


@pytest.fixture
def data() -> Data:
    return Data(spec=DataSpec(name="toy"), name="toy", train=TRAIN, test=TEST, fingerprint="a" * 64)


@pytest.fixture
def run(tmp_path: Path, data: Data) -> Run:
    return Run.create(tmp_path / "r", data, Recipe(name="toy"), seed=0)


@pytest.fixture
def write() -> Callable[..., Record]:
    """Write one valid stage."""
    return finish


@pytest.fixture
def valid() -> Callable[..., dict[str, Tensor]]:
    """Make one valid artifact."""
    return artifact


@pytest.fixture
def whole(run: Run) -> Run:
    """A run with all its stages done."""
    for stage in Stage:
        finish(run, stage)
    return run
