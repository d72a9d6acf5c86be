"""A finished stage that is computed anew, and interrupted over it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.errors import CollapsedError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.settings.configs import stage_config
from spice_cli.settings.recipes import read_recipe
from spice_cli.stages.perform import perform
from spice_cli.track import Bar, Silent

Digests = Callable[[Path], dict[str, str]]
STEPS = 60


class Interrupting(Silent):
    """Ctrl-C when so many lines were due."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.left = line

    @contextmanager
    def bar(self, title: str, total: int, *, done: int = 0, unit: str = "images") -> Iterator[Bar]:
        yield self

    def line(self, text: str, more: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def go(
    path: Path, tiny: Path, track: Silent, stage: Stage = Stage.SEMI, *, force: bool = False,
    **settings: Any,
) -> bool:  # fmt: skip
    run = Run.open(path)
    section = read_recipe(str(tiny)).get(stage.value, {})
    if stage is Stage.SEMI:
        settings = {"steps": STEPS, **settings}
    config = stage_config(stage.value, section | settings, {})
    with run.lock():
        return perform(
            run, stage, config, seed=0, device=torch.device("cpu"), track=track, force=force,
            checkpoint_seconds=0,
        )  # fmt: skip


@pytest.fixture
def done(copied: Path, tiny: Path) -> Path:
    """A run whose `semi` had 60 steps, of which the log has two lines."""
    go(copied, tiny, Silent())
    return copied


def interrupted(run: Path, tiny: Path, line: int, **settings: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(run, tiny, Interrupting(line), force=True, **settings)


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "semi.jsonl").read_text().splitlines()]


def finished(run: Path) -> object:
    return Run.open(run).record(Stage.SEMI).finished


@pytest.mark.parametrize("line", [1, 2])
def test_what_was_forced_goes_on_without_force(
    done: Path, tiny: Path, digests: Digests, line: int
) -> None:
    files, before, when = set(done.iterdir()), digests(done)["semi.safetensors"], finished(done)
    log = (done / "semi.jsonl").read_bytes()
    interrupted(done, tiny, line)
    assert (done / "semi.jsonl").read_bytes() == log
    assert Run.open(done).state(Stage.SEMI, verify=True) == "done"
    track = Silent()
    assert go(done, tiny, track)
    goes_on = ["`semi` goes on after epoch 1"] * (line - 1)
    assert track.said[:line] == ["`semi` was being computed anew, which goes on", *goes_on]
    assert finished(done) != when
    assert digests(done)["semi.safetensors"] == before
    assert steps(done) == [50, 60]
    assert set(done.iterdir()) == files
    assert not go(done, tiny, Silent())


def test_another_result_than_the_one_that_was_begun_may_be_kept(done: Path, tiny: Path) -> None:
    files, log = set(done.iterdir()), (done / "semi.jsonl").read_bytes()
    interrupted(done, tiny, 1, lr=0.001)
    track = Silent()
    assert not go(done, tiny, track)
    assert track.said == ["`semi` is up to date"]
    assert (done / "semi.jsonl").read_bytes() == log
    assert set(done.iterdir()) == files


def test_forcing_again_starts_anew(done: Path, tiny: Path) -> None:
    interrupted(done, tiny, 2)
    track = Silent()
    assert go(done, tiny, track, force=True)
    assert not any("goes on" in text for text in track.said)
    assert steps(done) == [50, 60]


def test_other_settings_keep_the_log_until_they_have_a_result(done: Path, tiny: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(done, tiny, Interrupting(1), steps=80)
    assert steps(done) == [50, 60]
    go(done, tiny, Silent(), steps=80)
    assert steps(done) == [50, 80]


def test_a_new_log_takes_its_place_where_the_writer_was_killed_before_it_did(
    done: Path, tiny: Path
) -> None:
    run = Run.open(done)
    (done / "semi.redo").write_text(f"2026-01-01T00:00:00+00:00 {'a' * 64}\n")
    (done / "semi.checkpoint.jsonl").write_text('{"epoch": 1, "step": 7}\n')
    with run.lock():
        assert steps(done) == [7]
    assert not (done / "semi.redo").exists()
    assert not (done / "semi.checkpoint.jsonl").exists()


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "\xff", "a b c"])
def test_a_mark_that_is_damaged_does_no_harm(done: Path, tiny: Path, text: str) -> None:
    (done / "semi.redo").write_bytes(text.encode("latin-1"))
    assert not go(done, tiny, Silent())
    assert not (done / "semi.redo").exists()
    assert steps(done) == [50, 60]


def test_what_collapses_anew_leaves_what_was_there(
    done: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapses(*_: object, **__: object) -> None:
        raise CollapsedError("collapsed")

    with monkeypatch.context() as patch, pytest.raises(CollapsedError):
        patch.setattr("spice_cli.stages.semi.check_shares", collapses)
        go(done, tiny, Silent(), force=True)
    assert not go(done, tiny, Silent())
    assert steps(done) == [50, 60]


def attempt(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(number))


def test_a_restart_redoes_what_is_left_of_what_was_forced(
    done: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = set(done.iterdir())
    attempt(0, monkeypatch)
    assert go(done, tiny, Silent(), Stage.SELECT_RELIABLE, force=True)
    attempt(1, monkeypatch)
    track = Silent()
    assert not go(done, tiny, track, Stage.SELECT_RELIABLE, force=True)
    assert track.said == ["`select-reliable` is up to date"]
    with pytest.raises(KeyboardInterrupt):
        go(done, tiny, Interrupting(2), force=True)
    attempt(2, monkeypatch)
    track = Silent()
    assert go(done, tiny, track, force=True)
    assert "`semi` goes on after epoch 1" in track.said
    attempt(3, monkeypatch)
    assert not go(done, tiny, Silent(), force=True)
    assert set(done.iterdir()) == files


def test_a_restart_goes_on_with_what_was_never_finished(
    done: Path, tiny: Path, forget: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(done, "semi")
    attempt(0, monkeypatch)
    interrupted(done, tiny, 2)
    attempt(1, monkeypatch)
    track = Silent()
    assert go(done, tiny, track, force=True)
    assert track.said[0] == "`semi` goes on after epoch 1"


def test_what_was_taken_from_a_file_is_replaced_by_a_redo_that_was_interrupted(
    done: Path, tiny: Path, spice: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes((done / "semi.safetensors").read_bytes())
    spice("semi", "-r", done, "--from", file)
    interrupted(done, tiny, 1)
    track = Silent()
    assert not go(done, tiny, track, lr=0.001)
    assert "was taken from a file" in track.said[0]
    interrupted(done, tiny, 1)
    assert go(done, tiny, Silent())
    assert not Run.open(done).record(Stage.SEMI).imported
    assert steps(done) == [50, 60]
