import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spice_cli.catalog import METHODS
from spice_cli.config.frozen import Count, Frozen
from spice_cli.methods.plan import Embed, Plan, Rate
from spice_cli.ops.augment import plain
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.images import images_of

Spice = Callable[..., Any]
SAME = ["crop=[1,1]", "ratio=[1,1]", *(f"{key}=0" for key in ("flip", "jitter", "gray", "blur"))]
FEW = 10
built: list["Probe"] = []


class Probe(nn.Module):
    """Keeps what the stage tells it, and draws the first few images alone."""

    class Config(Frozen):
        part: Count = 4

    uses_clusters = True
    crops = 1

    def __init__(self, backbone: nn.Module, config: Config, plan: Plan) -> None:
        super().__init__()
        self.backbone, self.config, self.plan = backbone, config, plan
        self.epochs: list[int] = []
        self.steps: list[tuple[Tensor, Tensor]] = []
        built.append(self)

    def begin(self, epoch: int, embed: Embed, generator: torch.Generator) -> None:
        self.epochs.append(epoch)
        self.rows = embed(lambda pixels: pixels.flatten(1) if not self.training else pixels)
        assert self.training

    def weights(self) -> Tensor:
        return (torch.arange(self.plan.images) < FEW).float()

    def forward(self, views: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        self.steps.append((views[0].clone(), rows))
        return self.backbone(views[0]).square().mean()

    def leaves(self, embed: Embed) -> dict[str, Tensor]:
        rows = embed(lambda pixels: pixels.flatten(1))
        assert self.plan.clusters is not None
        return {"probs": rows[:, : self.plan.clusters].softmax(1)}

    def faults(self) -> list[str]:
        return ["a fault"]


@pytest.fixture(autouse=True)
def _probe(monkeypatch: pytest.MonkeyPatch) -> None:
    built.clear()
    monkeypatch.setattr("spice_cli.stages.pretrain.load", lambda entry: Probe)
    monkeypatch.setattr("spice_cli.settings.configs.load", lambda entry: Probe)
    monkeypatch.setitem(METHODS, "probe", "probe")


def pretrain(spice: Spice, tiny: Path, *args: object, code: int = 0) -> Run:
    sets = [part for text in SAME for part in ("--set", f"views.{text}")]
    spice(
        *("pretrain", "digits", "--recipe", tiny, "--method", "probe", "-r", "r"),
        *("--epochs", 2, *sets, *args),
        code=code,
    )
    return Run.open(Path("r"))


def test_a_method_is_told_of_rows_epochs_and_all_images_and_draws_by_its_weights(
    spice: Spice, tiny: Path
) -> None:
    run = pretrain(spice, tiny)
    method = built[-1]
    images = plain(images_of(run, print).images)
    train = run.manifest.data.train
    assert method.epochs == [1, 2]
    torch.testing.assert_close(method.rows, images[:train].flatten(1))
    assert len(method.steps) == 2 * (train // 256)
    for pixels, rows in method.steps:
        torch.testing.assert_close(pixels, images[rows], rtol=1e-3, atol=1e-3)
    drawn = torch.cat([rows for _, rows in method.steps]).bincount()
    assert len(drawn) == FEW
    assert drawn.min() > drawn.sum() / FEW / 2
    left = run.read(Stage.PRETRAIN)["probs"]
    torch.testing.assert_close(left, images.flatten(1)[:, :10].softmax(1))


def test_a_plan_holds_the_sizes_of_the_training(spice: Spice, tiny: Path) -> None:
    run = pretrain(spice, tiny, "--batch-size", 100)
    method = built[-1]
    n = run.manifest.data.train
    assert method.plan == Plan(images=n, clusters=10, batch=100, epochs=2, steps=n // 100)


def test_clusters_are_those_asked_for_else_the_data_sets(spice: Spice, tiny: Path) -> None:
    run = pretrain(spice, tiny, "--clusters", 7)
    method = built[-1]
    assert method.plan.clusters == 7
    assert run.record(Stage.PRETRAIN).config["clusters"] == 7
    run = pretrain(spice, tiny)
    method = built[-1]
    assert run.record(Stage.PRETRAIN).config["clusters"] == method.plan.clusters == 10


def test_more_clusters_than_images_are_refused(spice: Spice, tiny: Path) -> None:
    pretrain(spice, tiny, "--clusters", 5000, code=2)
    assert not built


def test_a_method_that_uses_no_clusters_stays_up_to_date_whatever_is_asked(
    spice: Spice, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "uses_clusters", False)
    monkeypatch.delattr(Probe, "leaves")
    run = pretrain(spice, tiny)
    method = built[-1]
    assert method.plan.clusters is None
    record = json.loads((run.path / "run.json").read_text())["stages"]["pretrain"]
    assert "clusters" not in record["config"]
    pretrain(spice, tiny, "--clusters", 7)
    assert built == [method]


def test_the_log_tells_the_rate_that_was_used(
    spice: Spice, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "rates", lambda self: {"": Rate(fixed=True)}, raising=False)
    run = pretrain(spice, tiny, "--lr", 0.125)
    lines = (run.path / "pretrain.jsonl").read_text().splitlines()
    assert [json.loads(line)["lr"] for line in lines] == [0.125, 0.125]
