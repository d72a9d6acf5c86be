"""`evaluate.json`, and what the report reads out of it again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

from spice_cli.run.curation import Curation, Merge, save_curation
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.verdict import Verdict, verdict

Spice = Callable[..., Any]
TRUTH = load_digits().target


def guess(run: Path) -> np.ndarray:
    return load_file(run / "semi.safetensors")["probs"].argmax(1)  # type: ignore[no-any-return]


def test_confusion_and_clusters_are_kept(spice: Spice, copied: Path) -> None:
    spice("evaluate", "-r", copied)
    kept = json.loads((copied / "evaluate.json").read_text())
    table, found = kept["confusion"], guess(copied)
    for row, name in enumerate(table["classes"]):
        for column, cluster in enumerate(table["clusters"]):
            both = (int(name) == TRUTH) & (found == cluster)
            assert table["counts"][row][column] == both.sum()
    assert [row["cluster"] for row in kept["per_cluster"]] == list(range(10))
    for row in kept["per_cluster"]:
        mine = np.bincount(TRUTH[found == row["cluster"]], minlength=10)
        assert row["images"] == mine.sum()
        if row["images"]:
            assert row["class"] == str(mine.argmax())
            assert row["purity"] == pytest.approx(mine.max() / mine.sum(), abs=1e-5)


def test_without_truth_there_is_no_confusion(spice: Spice) -> None:
    generator = np.random.default_rng(0)
    np.save("x.npy", generator.normal(size=(40, 6)).astype(np.float32))
    spice("embed", "--from", "x.npy", "-r", "r")
    spice("evaluate", "-r", "r", "--clusters", 4)
    kept = json.loads(Path("r/evaluate.json").read_text())
    assert kept["confusion"] is None
    assert sum(row["images"] for row in kept["per_cluster"]) == 40
    run = Run.open(Path("r"))
    assert verdict(run, Stage.EMBED, 4).scores == kept["scores"]
    assert verdict(run, Stage.EMBED, 4).confusion is None
    assert verdict(run, Stage.EMBED, 5) == Verdict()


def test_it_holds_only_of_the_very_clusters_it_was_said_of(spice: Spice, copied: Path) -> None:
    spice("evaluate", "-r", copied)
    run = Run.open(copied)
    assert verdict(run, Stage.SEMI, 10).confusion is not None
    assert verdict(run, Stage.SELF_LABEL, 10) == Verdict()
    record = run.record(Stage.SEMI)
    save_curation(copied, Curation(of=record.sha256, edits=(Merge(clusters=(1, 2)),)))
    assert verdict(run, Stage.SEMI, 10) == Verdict()
    (copied / "curation.json").unlink()
    file = copied / "evaluate.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"input": "0" * 64}))
    assert verdict(run, Stage.SEMI, 10) == Verdict()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"input": 3}'])
def test_a_damaged_file_says_nothing(copied: Path, text: str) -> None:
    (copied / "evaluate.json").write_text(text)
    assert verdict(Run.open(copied), Stage.SEMI, 10) == Verdict()


def test_older_files_without_clusters_say_their_scores(spice: Spice, copied: Path) -> None:
    spice("evaluate", "-r", copied)
    file = copied / "evaluate.json"
    kept = json.loads(file.read_text())
    for key in ("edits", "per_cluster", "confusion"):
        del kept[key]
    file.write_text(json.dumps(kept))
    found = verdict(Run.open(copied), Stage.SEMI, 10)
    assert (found.scores, found.confusion, found.of_cluster) == (kept["scores"], None, {})
