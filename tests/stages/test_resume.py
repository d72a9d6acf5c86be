"""A stage that was interrupted goes on to the bytes of one that never was."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.data import mapped
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.stages import room
from spice_cli.stages.perform import perform
from spice_cli.track import Bar, Silent


class Interrupting(Silent):
    """Ctrl-C when an epoch's line is due, or after so many images."""

    def __init__(self, *, line: int = 0, images: int = 0) -> None:
        super().__init__()
        self.left_lines, self.left_images = line, images

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0, unit: str = "images") -> Iterator[Bar]:
        yield self

    def line(self, text: str, more: str = "") -> None:
        self.left_lines -= 1
        if self.left_lines == 0:
            raise KeyboardInterrupt

    def advance(self, images: int) -> None:
        self.left_images -= images
        if -images < self.left_images <= 0:
            raise KeyboardInterrupt


def settings(tiny: Path) -> dict[str, dict[str, Any]]:
    from spice_cli.settings.recipes import read_recipe

    sections = read_recipe(str(tiny))
    sections["pretrain"] |= {"width": 4, "epochs": 2}
    return sections


def go(run: Run, stage: Stage, config: Any, track: Silent) -> str:
    with run.lock():
        device = torch.device("cpu")
        perform(run, stage, config, seed=3, device=device, track=track, checkpoint_seconds=0)
    return run.manifest.stages[stage].sha256


SETTINGS: dict[str, tuple[Stage, list[str]]] = {
    "simclr": (Stage.PRETRAIN, []),
    "simclr, nesterov, bf16": (Stage.PRETRAIN, ["nesterov=true", "precision=bf16"]),
    "muon": (Stage.PRETRAIN, ["optimizer=muon", "lr=0.02"]),
    "byol": (Stage.PRETRAIN, ["method=byol"]),
    "byol, split batch norm, Muon": (
        Stage.PRETRAIN,
        ["method=byol", "splits=4", "optimizer=muon", "lr=0.02"],
    ),
    "cc, Adam": (Stage.PRETRAIN, ["method=cc", "clusters=7", "optimizer=adam", "lr=0.001"]),
    "moco": (Stage.PRETRAIN, ["method=moco", "queue=512"]),
    "moco, symmetric, split batch norm": (
        Stage.PRETRAIN,
        ["method=moco", "queue=512", "symmetric=true", "splits=4"],
    ),
    "simsiam": (Stage.PRETRAIN, ["method=simsiam"]),
    "live views": (Stage.SELF_LABEL, ["views=live"]),
    "plain views": (Stage.SELF_LABEL, ["views=plain", "overlap=false"]),
    "stored views": (Stage.SELF_LABEL, ["views=auto"]),
    "mixtures": (Stage.SELF_LABEL, ["method=gmm", "restarts=3"]),
    "scan, then its own labels": (
        Stage.SELF_LABEL,
        [
            "method=scan",
            "backbone=train",
            "epochs=1",
            "self_label=true",
            "confident.epochs=1",
            "confident.threshold=0",
        ],
    ),
    "semi": (Stage.SEMI, ["steps=60"]),
    "semi by moving thresholds": (Stage.SEMI, ["method=freematch", "steps=60"]),
    "semi by moving weights": (Stage.SEMI, ["method=softmatch", "steps=60"]),
    "semi with new labels from the head on": (Stage.SEMI, ["method=joint", "steps=110"]),
    "semi with a calibration head": (Stage.SEMI, ["method=calibrated", "steps=60"]),
    "semi that settles": (Stage.SEMI, ["stop=1", "patience=1", "steps=200"]),
    "semi from random weights": (Stage.SEMI, ["init=random", "steps=52", "batch_size=8"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_stage_goes_on_to_the_same_bytes(
    name: str,
    tiny: Path,
    copied: Path,
    forget: Callable[..., Path],
    tmp_path: Path,
    spice: Callable[..., Any],
) -> None:
    stage, sets = SETTINGS[name]
    if name == "stored views":
        spice("embed", "-r", copied, "--views", 2)
    later = list(Stage)[list(Stage).index(stage) : list(Stage).index(Stage.ASK)]
    forget(copied, *later)
    other = shutil.copytree(copied, tmp_path / "other")
    config = stage_config(stage.value, settings(tiny)[stage.value], {}, sets)
    whole = go(Run.open(copied), stage, config, Silent())
    for line in (1, 2):  # the first leaves no checkpoint, the second one
        with pytest.raises(KeyboardInterrupt):
            go(Run.open(other), stage, config, Interrupting(line=line))
    mine = Run.open(other)
    assert mine.state(stage) == "unfinished"
    with pytest.raises(KeyboardInterrupt):
        go(mine, stage, config, Interrupting(images=3))
    track = Silent()
    assert go(Run.open(other), stage, config, track) == whole
    assert track.said[0] == f"`{stage}` goes on after epoch 1"
    assert not list(other.glob("*.checkpoint.safetensors"))
    epochs = [len((run / f"{stage}.jsonl").read_text().splitlines()) for run in (copied, other)]
    assert epochs[0] == epochs[1]


@pytest.mark.parametrize(
    ("images", "damage"),
    [(50, ""), (1797, ""), (4000, ""), (8985, ""), (2500, "bytes"), (2500, "gone")],
)
def test_embedding_goes_on_at_the_row_it_had_come_to(
    images: int,
    damage: str,
    tiny: Path,
    copied: Path,
    forget: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "KEPT", 0)
    monkeypatch.setattr(mapped, "SHARD", 2**20)
    forget(copied, "embed", "self-label", "select-reliable", "semi")
    other = shutil.copytree(copied, tmp_path / "other")
    sets = {"views": 2, "flip": True, "batch_size": 100}
    config = stage_config("embed", settings(tiny).get("embed", {}) | sets, {})
    whole = go(Run.open(copied), Stage.EMBED, config, Silent())
    with pytest.raises(KeyboardInterrupt):
        go(Run.open(other), Stage.EMBED, config, Interrupting(images=images))
    assert Run.open(other).state(Stage.EMBED) == "unfinished"
    shards = sorted((other / "embed.checkpoint.rows").iterdir())
    assert len(shards) == 2
    if damage == "bytes":
        shards[0].write_bytes(bytes(2**20))
    if damage == "gone":
        shards[-1].unlink()
    track = Silent()
    assert go(Run.open(other), Stage.EMBED, config, track) == whole
    if damage:
        said = "`embed` starts anew: its rows are not those of its checkpoint"
    else:
        said = f"`embed` goes on after {_whole_batches(images):,} of 8,985 rows"
    assert said in track.said
    assert not list(other.glob("*.checkpoint.*"))


def _whole_batches(images: int) -> int:
    """How many rows are done when `images` of them have been reached, 100 of 1,797 at a time."""
    rounds, rest = divmod(images, 1797)
    return 1797 * rounds + min(1797, -(-rest // 100) * 100)


def test_embedding_again_with_other_settings_starts_anew(
    tiny: Path, copied: Path, forget: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT", 0)
    forget(copied, "embed", "self-label", "select-reliable", "semi")
    section = settings(tiny).get("embed", {}) | {"batch_size": 100}
    with pytest.raises(KeyboardInterrupt):
        config = stage_config("embed", section, {})
        go(Run.open(copied), Stage.EMBED, config, Interrupting(images=500))
    track = Silent()
    config = stage_config("embed", section | {"flip": True}, {})
    go(Run.open(copied), Stage.EMBED, config, track)
    assert "`embed` starts anew: its checkpoint is of other settings" in track.said
    assert not list(copied.glob("*.checkpoint.*"))


def test_pretraining_goes_on_in_the_same_order_with_less_memory(
    tiny: Path,
    copied: Path,
    forget: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spice_cli.ops.shuffle.BLOCK", 2**10)
    forget(copied, *list(Stage)[: list(Stage).index(Stage.ASK)])
    other = shutil.copytree(copied, tmp_path / "other")
    config = stage_config("pretrain", settings(tiny)["pretrain"], {}, [])
    whole = go(Run.open(copied), Stage.PRETRAIN, config, Silent())
    with pytest.raises(KeyboardInterrupt):
        go(Run.open(other), Stage.PRETRAIN, config, Interrupting(line=2))
    monkeypatch.setenv("SPICE_MEMORY", "0.0001")
    track = Silent()
    assert go(Run.open(other), Stage.PRETRAIN, config, track) == whole
    assert track.said[0] == "`pretrain` goes on after epoch 1"


def test_a_checkpoint_of_other_settings_is_not_continued(
    tiny: Path, copied: Path, forget: Callable[..., Path]
) -> None:
    forget(copied, "semi")
    section = settings(tiny)["semi"] | {"steps": 60}
    config = stage_config("semi", section, {})
    with pytest.raises(KeyboardInterrupt):
        go(Run.open(copied), Stage.SEMI, config, Interrupting(line=2))
    track = Silent()
    go(Run.open(copied), Stage.SEMI, stage_config("semi", section, {"steps": 50}), track)
    assert not any("goes on" in text for text in track.said)


def test_the_time_of_all_attempts_is_counted(
    tiny: Path, copied: Path, forget: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(copied, "semi")
    config = stage_config("semi", settings(tiny)["semi"] | {"steps": 60}, {})
    run = Run.open(copied)
    with pytest.raises(KeyboardInterrupt):
        go(run, Stage.SEMI, config, Interrupting(line=2))
    from spice_cli.stages.job import Job

    resume = Job.resume

    def later(self: Any, parts: Any) -> int:
        done = resume(self, parts)
        assert 0 < self.before < 60
        self.before = 1000.0
        return done

    monkeypatch.setattr(Job, "resume", later)
    go(run, Stage.SEMI, config, Silent())
    assert 1000 < run.manifest.stages[Stage.SEMI].seconds < 1060
