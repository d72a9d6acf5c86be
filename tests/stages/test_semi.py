import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from spice_cli.catalog import SEMI, load
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.stages import semi
from spice_cli.track import Silent

Spice = Callable[..., Any]
CALM = ["stop=1", "patience=2", "steps=80"]
"""Whatever changes, the second and third look find less than everything changed."""


@pytest.fixture(autouse=True)
def _short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semi, "ROUND", 10)


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "semi.jsonl").read_text().splitlines()]


def config(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())["stages"]["semi"]["config"]


@pytest.mark.parametrize("name", SEMI)
def test_every_method_trains_and_leaves_a_model(
    name: str, spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semi, "ROUND", 50)
    spice("semi", "-r", copied, "--method", name, "--steps", 60)
    assert [line["step"] for line in log(copied)] == [50, 60]
    assert all(0 < line["confident"] <= 1 for line in log(copied))
    kept = any(key.startswith("method") for key in load_file(copied / "semi.safetensors"))
    assert kept == hasattr(load(SEMI[name]), "calibrated")
    assert config(copied)["method"] == name


def test_a_methods_own_settings_are_flags_and_are_recorded(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semi, "ROUND", 50)
    spice("semi", "-r", copied, "--threshold", 0.5, "--steps", 50)
    assert config(copied)["settings"] == {"threshold": 0.5}
    confident = log(copied)[0]["confident"]
    spice("semi", "-r", copied, *sets("threshold=0.999", "steps=50"))
    assert log(copied)[0]["confident"] < confident
    spice("semi", "-r", copied, "--method", "freematch", "--steps", 50, *sets("fairness=0"))
    assert config(copied)["settings"] == {"average": 0.999, "fairness": 0}
    wrong = spice("semi", "-r", copied, "--method", "freematch", "--threshold", 0.5, code=2)
    assert "`threshold` is not a setting of `semi`" in wrong.stderr


def test_steps_that_nobody_names_follow_the_reliable_set(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(semi, "semi_steps", lambda *given: seen.append(given) or 15)
    steps = stage_config("semi", {}, {}).steps
    assert steps is None
    recipe = json.loads((copied / "run.json").read_text())
    del recipe["check"]
    del recipe["recipe"]["sections"]["semi"]["steps"]
    (copied / "run.json").write_text(json.dumps(recipe))
    spice("semi", "-r", copied)
    with safe_open(copied / "select-reliable.safetensors", "pt") as file:
        reliable = len(file.get_tensor("index"))
    assert seen == [(reliable, 1797, 16, 1)]
    assert config(copied)["steps"] == 15
    assert log(copied)[-1]["step"] == 15
    assert "up to date" in spice("semi", "-r", copied).stderr


def test_it_ends_when_predictions_stop_changing(spice: Spice, copied: Path) -> None:
    said = spice("semi", "-r", copied, *sets(*CALM)).stderr
    assert "`semi` settled after 30 of 80 steps" in said
    looks = [line["changed"] for line in log(copied)]
    assert looks[0] == 1
    assert all(change < 1 for change in looks[1:])
    assert [line["step"] for line in log(copied)] == [10, 20, 30]


def test_it_does_not_end_early_where_nothing_may_change(spice: Spice, copied: Path) -> None:
    said = spice("semi", "-r", copied, *sets("stop=0", "patience=1", "steps=40")).stderr
    assert "settled" not in said
    assert len(log(copied)) == 4


def test_a_long_plan_is_looked_at_forty_times(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semi, "LOOKS", 3)
    spice("semi", "-r", copied, *sets("stop=0", "steps=70"))
    assert [line["epoch"] for line in log(copied) if "changed" in line] == [2, 4, 6]


def test_compiling_is_rehearsed_on_the_shapes_of_a_step_and_changes_no_result(
    spice: Spice, copied: Path, monkeypatch: pytest.MonkeyPatch, digests: Callable[..., Any]
) -> None:
    import torch

    from spice_cli.stages.compiled import compiled

    seen: list[torch.Size] = []

    def eager(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        seen.extend(each.shape for each in inputs if each.ndim == 4 and each.shape[1:] == (3, 8, 8))
        return graph.forward

    def compile(model: Any, choice: Any, **extra: Any) -> bool:
        assert (choice, extra["steps"]) == ("auto", 15)
        return compiled(model, "on", **extra, backend=eager)

    spice("semi", "-r", copied, "--steps", 15)
    plain = digests(copied)
    monkeypatch.setattr(semi, "compiled", compile)
    spice("semi", "-r", copied, "--steps", 15, "--force")
    assert seen == [(16 + 16 + 16, 3, 8, 8)]
    assert digests(copied) == plain


class Killed(Silent):
    """Ctrl-C once the stage says that it settled."""

    def say(self, message: str) -> None:
        if "settled" in message:
            raise KeyboardInterrupt
        super().say(message)


def test_a_training_that_had_settled_does_not_go_on_after_a_kill(
    copied: Path, tmp_path: Path, tiny: Path, forget: Callable[..., Path]
) -> None:
    import torch

    from spice_cli.settings.recipes import read_recipe
    from spice_cli.stages.perform import perform

    forget(copied, "semi")
    other = shutil.copytree(copied, tmp_path / "other")
    wanted = stage_config("semi", read_recipe(str(tiny))["semi"], {}, CALM)

    def go(path: Path, track: Silent) -> str:
        run, cpu = Run.open(path), torch.device("cpu")
        perform(run, Stage.SEMI, wanted, seed=0, device=cpu, track=track, checkpoint_seconds=0)
        return run.manifest.stages[Stage.SEMI].sha256

    with pytest.raises(KeyboardInterrupt):
        go(other, Killed())
    track = Silent()
    assert go(other, track) == go(copied, Silent())
    assert track.said[:2] == [
        "`semi` goes on after epoch 3",
        "`semi` settled after 30 of 80 steps",
    ]
    assert len(log(other)) == 3


def test_joint_starts_from_the_head_of_self_label(spice: Spice, copied: Path) -> None:
    from safetensors.torch import load_file

    spice("semi", "-r", copied, "--method", "joint", "--steps", 1, *sets("lr=1e-9", "ema=0"))
    before = load_file(copied / "self-label.safetensors")["probs"].argmax(1)
    after = load_file(copied / "semi.safetensors")["probs"].argmax(1)
    assert (before == after).float().mean() > 0.9
    inputs = json.loads((copied / "run.json").read_text())["stages"]["semi"]["inputs"]
    assert set(inputs) == {"data", "pretrain", "self-label", "select-reliable"}


def test_joint_goes_stale_with_self_label(spice: Spice, copied: Path) -> None:
    spice("semi", "-r", copied, "--method", "joint", "--steps", 1)
    spice("self-label", "-r", copied, "--epochs", 1)
    assert "semi\tstale" in spice("status", "-r", copied).stdout


def test_joint_has_no_random_start_and_no_other_backbone(spice: Spice, copied: Path) -> None:
    joint = ["semi", "-r", copied, "--method", "joint", "--steps", 1]
    assert "not from random ones" in spice(*joint, "--init", "random", code=2).stderr
    other = spice(*joint, "--backbone", "resnet14", code=2).stderr
    assert "there are weights of `small`, none of `resnet14`" in other
    assert "`--set backbone=small`" in other


def test_joint_makes_the_reliable_labels_anew(spice: Spice, copied: Path) -> None:
    spice("semi", "-r", copied, "--method", "joint", *sets("renewals=2", "steps=60", "stop=0"))
    renewed = {line["epoch"]: line["reliable"] for line in log(copied) if "reliable" in line}
    assert list(renewed) == [2, 4]
    assert all(0 < count <= 1797 for count in renewed.values())


def test_labels_made_elsewhere_are_not_made_anew(spice: Spice, copied: Path) -> None:
    import numpy as np

    labels = load_file(copied / "self-label.safetensors")["probs"].argmax(1).double().numpy()
    np.save("labels.npy", labels)
    spice("select-reliable", "-r", copied, "--from", "labels.npy")
    spice("semi", "-r", copied, "--method", "joint", *sets("renewals=2", "steps=60", "stop=0"))
    assert not any("reliable" in line for line in log(copied))


def test_labels_of_more_clusters_than_the_head_knows_are_refused(
    spice: Spice, copied: Path
) -> None:
    import numpy as np

    np.save("labels.npy", np.arange(1797) % 12)
    spice("select-reliable", "-r", copied, "--from", "labels.npy")
    wrong = spice("semi", "-r", copied, "--method", "joint", "--steps", 1, code=4)
    assert "the reliable labels name 12 clusters, `self-label` found 10" in wrong.stderr


def test_calibration_changes_how_sure_the_classifier_is_and_not_what_it_says(
    spice: Spice, copied: Path
) -> None:
    import torch

    from spice_cli.models.classifier import Classifier
    from spice_cli.ops.augment import plain
    from spice_cli.stages.backbone import fill, restore
    from spice_cli.stages.images import images_of

    spice("semi", "-r", copied, "--method", "calibrated", *sets("steps=40", "precision=fp32"))
    left = load_file(copied / "semi.safetensors")
    run = Run.open(copied)
    model = Classifier(restore(run, torch.device("cpu")), 10)
    fill(model, left, "model.")
    with torch.no_grad():
        said = model.eval()(plain(images_of(run, print).images[:200])).softmax(1)
    assert torch.equal(said.argmax(1), left["probs"][:200].argmax(1))
    assert (said - left["probs"][:200]).abs().max() > 1e-4
