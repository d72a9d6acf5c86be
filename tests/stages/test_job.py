import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.config.data import DataSpec
from spice_cli.config.embed import Embed
from spice_cli.errors import CollapsedError, InvalidError
from spice_cli.run.checkpoint import Checkpoint
from spice_cli.run.log import Log
from spice_cli.run.manifest import Data, Recipe, Stage
from spice_cli.run.store import Run
from spice_cli.stages.group import Group
from spice_cli.stages.job import Job, check_shares
from spice_cli.track import Silent


def make(tmp_path: Path, *, seed: int = 0, **changes: Any) -> Job[Any]:
    data = Data(spec=DataSpec(name="toy"), name="toy", train=4, fingerprint="a" * 64)
    run = Run.create(tmp_path / "r", data, Recipe(name="toy"), seed=0)
    how: dict[str, Any] = {
        "run": run,
        "stage": Stage.SEMI,
        "config": Embed(),
        "seed": seed,
        "device": torch.device("cpu"),
        "precision": "fp32",
        "track": Silent(),
        "checkpoint": Checkpoint(run.path, Stage.SEMI, "k"),
        "log": Log(run.path, Stage.SEMI),
        "checkpoint_seconds": 0.0,
    }
    return Job(**{**how, **changes})


def test_every_part_of_every_stage_and_seed_draws_numbers_of_its_own(tmp_path: Path) -> None:
    job, other = make(tmp_path), make(tmp_path, stage=Stage.EMBED)
    generators = [
        job.generator(1), job.generator(2), job.generator("weak", 1), job.generator(),
        other.generator(1), make(tmp_path, seed=1).generator(1),
    ]  # fmt: skip
    assert len({float(torch.rand((), generator=g)) for g in generators}) == len(generators)
    again = torch.rand(3, generator=job.generator(2))
    assert torch.equal(torch.rand(3, generator=make(tmp_path).generator(2)), again)


def test_layers_follow_the_seed_and_leave_the_global_one_alone(tmp_path: Path) -> None:
    weights = []
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for seed in (0, 0, 1):
        with make(tmp_path, seed=seed).seeded():
            weights.append(torch.nn.Linear(3, 3).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_logged_as_null_and_stops_the_stage(
    tmp_path: Path, value: float
) -> None:
    job = make(tmp_path)
    job.note({"epoch": 1, "loss": 1.0})
    with pytest.raises(CollapsedError, match="`semi` collapsed: loss is .* in epoch 2"):
        job.note({"epoch": 2, "loss": value})
    lines = [json.loads(line) for line in job.log.path.read_text().splitlines()]
    assert lines == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": None}]


def test_one_cluster_may_hold_nine_tenths_and_no_more() -> None:
    check_shares(Stage.SEMI, torch.tensor([90, 10, 0]), hint="")
    with pytest.raises(CollapsedError, match="one of 3 clusters holds 91% of the images"):
        check_shares(Stage.SEMI, torch.tensor([91, 9, 0]), hint="")


def test_a_checkpoint_waits_for_its_time(tmp_path: Path) -> None:
    job = make(tmp_path, checkpoint_seconds=1000.0)
    parts = {"layer": torch.nn.Linear(2, 2)}
    job.save(1, parts)
    assert not job.checkpoint.path.exists()
    job.checkpoint_seconds = 0.0
    job.save(1, parts)
    assert job.checkpoint.path.exists()


def test_resuming_brings_back_weights_moments_time_and_log(tmp_path: Path) -> None:
    def parts() -> dict[str, Any]:
        layer = torch.nn.Linear(2, 2)
        return {"layer": layer, "optimizer": torch.optim.SGD(layer.parameters(), 0.1, 0.9)}

    job, mine, theirs = make(tmp_path), parts(), parts()
    assert job.resume(mine) == 0
    mine["layer"](torch.ones(1, 2)).sum().backward()
    mine["optimizer"].step()
    for epoch in (1, 2, 3):
        job.note({"epoch": epoch})
    job.before = 50.0
    job.save(2, mine)
    later = make(tmp_path)
    assert later.resume(theirs) == 2
    assert torch.equal(mine["layer"].weight, theirs["layer"].weight)
    for kept in zip(*(p["optimizer"].state.values() for p in (mine, theirs)), strict=True):
        assert torch.equal(kept[0]["momentum_buffer"], kept[1]["momentum_buffer"])
    assert later.seconds > 50
    assert len(later.log.path.read_text().splitlines()) == 2
    assert later.track.said == ["`semi` goes on after epoch 2"]  # type: ignore[attr-defined]


class Second(Group):
    """The second of two processes, whose first one goes on after epoch 2."""

    def told(self, text: str) -> str:
        return json.dumps({"epoch": 2, "seconds": 1.0})


@pytest.mark.parametrize("epoch", [None, 1, 2])
def test_a_process_goes_on_only_from_the_first_ones_checkpoint(
    tmp_path: Path, epoch: int | None
) -> None:
    job = make(tmp_path, group=Second(rank=1, world=2))
    layer = torch.nn.Linear(2, 2)
    if epoch is not None:
        state = {f"layer/{name}": value for name, value in layer.state_dict().items()}
        job.checkpoint.save(state, {"epoch": epoch, "seconds": 1.0})
    if epoch == 2:
        assert job.resume({"layer": layer}) == 2
        return
    with pytest.raises(InvalidError, match="is not the checkpoint that the first process sees"):
        job.resume({"layer": layer})
