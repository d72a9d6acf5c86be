"""`spice run` of what has finished: the same answer at once, unless anything may have changed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Spice = Callable[..., Any]
LIGHT = """
import sys
from spice_cli.cli import main
try:
    main()
finally:
    assert not {"torch", "sklearn", "numpy", "safetensors", "PIL"} & set(sys.modules)
"""


class Recomputed(Exception):
    """The command looked at more than what it had kept."""


@pytest.fixture
def ended(
    spice: Spice, copied: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The command that has just ended; where it does more than repeat itself, it raises."""
    from spice_cli.commands import run_once

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tiny.read_text())
    line = ["run", "digits", "--recipe", recipe, "-r", copied]
    before = spice(*line, "--no-report")
    spice(*line, "--no-report", "--json")

    def other(*_: Any) -> None:
        raise Recomputed

    def again(*more: object) -> Any:
        return spice(*line, "--no-report", *more)

    again.before = before  # type: ignore[attr-defined]
    spice(*line, "--no-report")
    monkeypatch.setattr(run_once, "start", other)
    return again


def test_it_says_the_same_and_imports_nothing_heavy(
    ended: Callable[..., Any], copied: Path, tmp_path: Path
) -> None:
    said = ended()
    first = ended.before  # type: ignore[attr-defined]
    assert said.stdout == first.stdout
    assert [s for s in first.stderr.splitlines() if not s.startswith(("wrote", "read"))] == (
        said.stderr.splitlines()
    )
    line = ["run", "digits", "--recipe", tmp_path / "recipe.toml", "-r", copied, "--no-report"]
    for words in (line, ["status", "-r", copied]):
        subprocess.run([sys.executable, "-c", LIGHT, *map(str, words)], check=True)


def test_whatever_changed_is_looked_at(
    ended: Callable[..., Any], copied: Path, tmp_path: Path
) -> None:
    def flip(file: Path) -> None:
        """Change a byte, and set the times back."""
        found = file.stat()
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert ended().exit_code == 0
    kept = (copied / "again.json").read_bytes()
    for more in (["--seed", 1], ["--force"], ["--until", "self-label"], ["--set", "semi.steps=9"]):
        with pytest.raises(Recomputed):
            ended(*more)
    changes: dict[str, Callable[[], object]] = {
        "what is kept": lambda: flip(copied / "again.json"),
        "cut": lambda: (copied / "again.json").write_bytes(kept[:-9]),
        "gone": (copied / "again.json").unlink,
        "a recipe": lambda: (tmp_path / "recipe.toml").write_text("[data]\nname = 'digits'\n"),
        "a file more": lambda: (copied / "semi.checkpoint.safetensors").touch(),
    }
    recipe = (tmp_path / "recipe.toml").read_text()
    for change in changes.values():
        change()
        with pytest.raises(Recomputed):
            ended()
        (copied / "again.json").write_bytes(kept)
        (tmp_path / "recipe.toml").write_text(recipe)
        (copied / "semi.checkpoint.safetensors").unlink(missing_ok=True)
        (copied / "again.json").touch()
        if change is not changes["a file more"]:
            assert ended().exit_code == 0
    for name in ("embed.safetensors", "semi.jsonl", "evaluate.json"):
        before = (copied / name).read_bytes()
        flip(copied / name)
        with pytest.raises(Recomputed):
            ended()
        (copied / name).write_bytes(before)


def test_what_changes_no_answer_is_not_looked_at(ended: Callable[..., Any], copied: Path) -> None:
    from spice_cli.stages import answers, usual

    before = (copied / "again.json").read_bytes()
    for name in (usual.FILE, answers.FILE, "notes.txt", "clusters.csv", "model.safetensors"):
        (copied / name).write_text("x")
    (copied / "more").mkdir()
    assert ended().exit_code == 0
    assert (copied / "again.json").read_bytes() == before


def test_the_same_bytes_written_anew_are_no_change(
    ended: Callable[..., Any], copied: Path, spice: Spice
) -> None:
    said = ended().stdout
    spice("evaluate", "-r", copied)
    file = copied / "embed.safetensors"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    before = (copied / "again.json").read_bytes()
    assert ended().stdout == said
    after = (copied / "again.json").read_bytes()
    assert ended().stdout == said
    assert (copied / "again.json").read_bytes() == after != before
    spice("name", 0, "red", "-r", copied)
    with pytest.raises(Recomputed):
        ended()
    spice("name", 0, "--clear", "-r", copied)
    (copied / "curation.json").unlink(missing_ok=True)
    assert ended().stdout == said


def test_a_report_that_is_gone_is_made_again(spice: Spice, copied: Path, tiny: Path) -> None:
    line = ["run", "digits", "--recipe", tiny, "-r", copied]
    spice(*line)
    (copied / "report.html").write_text("another")
    kept = (copied / "again.json").read_bytes()
    spice(*line)
    assert ((copied / "report.html").read_text(), (copied / "again.json").read_bytes()) == (
        "another",
        kept,
    )
    (copied / "report.html").unlink()
    spice(*line)
    assert (copied / "report.html").stat().st_size > 1000


def test_scores_that_were_changed_by_hand_are_not_repeated(
    ended: Callable[..., Any], copied: Path
) -> None:
    content = json.loads((copied / "again.json").read_text())
    content["scores"]["semi"]["acc"] = 1.0
    (copied / "again.json").write_text(json.dumps(content))
    with pytest.raises(Recomputed):
        ended()


def test_an_evaluation_that_could_not_read_everything_is_not_repeated(
    spice: Spice, copied: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spice_cli.stages import evaluate

    (copied / "again.json").unlink()
    monkeypatch.setattr(evaluate, "label_free", lambda *_: ({}, ["neither rankme nor silhouette"]))
    spice("run", "digits", "--recipe", tiny, "-r", copied, "--no-report")
    assert not (copied / "again.json").exists()


def test_a_family_whose_seeds_were_moved_away_is_made_anew(
    spice: Spice, copied: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spice_cli.commands import family

    started = []

    def start(*said: Any) -> None:
        started.append(said)
        raise Recomputed

    (tmp_path / "fam").mkdir()
    (tmp_path / "fam" / "again.json").write_bytes((copied / "again.json").read_bytes())
    monkeypatch.setattr(family, "start", start)
    with pytest.raises(Recomputed):
        spice("run", "digits", "--recipe", tiny, "--seeds", 2, "-r", tmp_path / "fam")
    assert started
