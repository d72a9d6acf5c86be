"""`evaluate --oracle`: the labels choose a head, and nobody listens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from sklearn.metrics.cluster import contingency_matrix

from spice_cli.errors import MissingError
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.oracle import Oracle, consult
from spice_cli.stages.stored_heads import clusters_of_heads

Spice = Callable[..., Any]
TRUTH = load_digits().target


def matched(guess: np.ndarray) -> float:
    table = contingency_matrix(TRUTH, guess)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / len(TRUTH))


def test_every_stored_head_is_scored_as_its_weights_say(finished: Path) -> None:
    x = load_file(finished / "embed.safetensors")["embeddings"]
    stored = load_file(finished / "self-label.safetensors")
    wanted = []
    for head in range(4):
        weight1, bias1, weight2, bias2 = (
            stored[f"heads.{name}"][head] for name in ("weight1", "bias1", "weight2", "bias2")
        )
        hidden = (x * x.shape[1] ** 0.5 @ weight1 + bias1).relu()
        wanted.append(matched((hidden @ weight2 + bias2).argmax(1).numpy()))
    found = consult(Run.open(finished), torch.from_numpy(TRUTH))
    assert found.accuracies == pytest.approx(wanted, abs=1e-3)
    assert found.losses == stored["losses"].tolist()
    assert found.picked == int(stored["losses"].argmin())
    assert found.best == int(np.argmax(wanted))


def test_what_is_lost_is_the_best_less_the_picked() -> None:
    oracle = Oracle(accuracies=[0.5, 0.9, 0.7], losses=[2.0, 1.5, 1.0])
    assert (oracle.picked, oracle.best) == (2, 1)
    assert oracle.lost == pytest.approx(0.2)
    assert "takes 1, ACC 0.9000" in oracle.note
    assert Oracle([0.5], [1.0]).lost == 0


def test_it_is_named_and_changes_nothing_in_the_run(
    spice: Spice, copied: Path, digests: Callable[[Path], dict[str, str]]
) -> None:
    before = digests(copied), (copied / "run.json").read_text()
    plain = json.loads(spice("evaluate", "-r", copied, "--json").stdout)
    result = spice("evaluate", "-r", copied, "--oracle", "--json")
    found = json.loads(result.stdout)
    assert {k: v for k, v in found.items() if not k.startswith("oracle")} == plain
    assert found["oracle-lost"] >= 0
    assert "oracle (saw the labels; nothing is picked by it)" in result.stderr
    assert "heads, and who takes which" in result.stderr
    assert (digests(copied), (copied / "run.json").read_text()) == before


def test_labels_that_are_unknown_do_not_count(finished: Path) -> None:
    run, labels = Run.open(finished), torch.from_numpy(TRUTH.copy())
    labels[1000:] = -1
    known = consult(run, labels)
    assert known.accuracies != consult(run, torch.from_numpy(TRUTH)).accuracies
    assert torch.equal(labels[:1000], torch.from_numpy(TRUTH[:1000]))


def test_heads_that_are_not_there_are_missed(
    spice: Spice, copied: Path, forget: Callable[..., Path]
) -> None:
    np.save("probs.npy", np.eye(10, dtype=np.float32)[TRUTH])
    spice("self-label", "-r", copied, "--from", "probs.npy")
    line = ["evaluate", "-r", copied, "--stage", "self-label", "--oracle"]
    assert "stored no heads" in spice(*line, code=3).stderr
    forget(copied, "semi", "select-reliable", "self-label")
    assert "no `self-label` yet" in spice("evaluate", "-r", copied, "--oracle", code=3).stderr


def test_heads_that_read_something_else_are_not_believed(copied: Path) -> None:
    run = Run.open(copied)
    record, tensors = run.record(Stage.SELF_LABEL), run.read(Stage.SELF_LABEL)
    tensors["heads.weight1"] = -tensors["heads.weight1"]
    tensors["heads.weight2"] = tensors["heads.weight2"].flip(-1)
    run.write(
        Stage.SELF_LABEL,
        tensors,
        config=record.config,
        inputs=record.inputs,
        seed=0,
        environment=record.environment,
        seconds=1.0,
    )
    with pytest.raises(MissingError, match="stored no heads on the embeddings"):
        consult(run, torch.from_numpy(TRUTH))


@pytest.mark.parametrize(
    "line",
    [
        ["--method", "temi", "--heads", 3],
        ["--method", "turtle", "--heads", 3],
        ["--method", "scan", "--set", "backbone=frozen", "--heads", 3],
    ],
    ids=["temi", "turtle", "scan"],
)
def test_the_heads_of_other_methods_are_read_again(
    spice: Spice, copied: Path, line: list[Any]
) -> None:
    spice("self-label", "-r", copied, "--epochs", 1, *line)
    run = Run.open(copied)
    found, stored = clusters_of_heads(run), run.read(Stage.SELF_LABEL)
    assert found is not None
    assert found.shape == (3, 1797)
    assert torch.equal(found[stored["losses"].argmin()], stored["probs"].argmax(1))


def test_centres_are_no_heads(spice: Spice, copied: Path) -> None:
    spice("self-label", "-r", copied, "--method", "kmeans")
    assert clusters_of_heads(Run.open(copied)) is None
