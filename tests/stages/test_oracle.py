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
from spice_cli.ops.augment import plain
from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.images import images_of
from spice_cli.stages.model import autocast
from spice_cli.stages.oracle import Oracle, consult
from spice_cli.stages.restored import model_of
from spice_cli.stages.stored_heads import clusters_of_heads
from spice_cli.track import Silent

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
    found = consult(Run.open(finished), torch.from_numpy(TRUTH), Silent())
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
    known = consult(run, labels, Silent())
    assert known.accuracies != consult(run, torch.from_numpy(TRUTH), Silent()).accuracies
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
    with pytest.raises(MissingError, match="stored no heads that an oracle"):
        consult(run, torch.from_numpy(TRUTH), Silent())


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


@pytest.mark.parametrize("method", ["kmeans", "gmm", "graph"])
def test_where_one_clustering_is_stored_there_is_nothing_to_choose_and_it_says_so(
    spice: Spice, copied: Path, method: str
) -> None:
    spice("self-label", "-r", copied, "--method", method)
    assert clusters_of_heads(Run.open(copied)) is None
    result = spice("evaluate", "-r", copied, "--stage", "self-label", "--oracle", "--json")
    found = json.loads(result.stdout)
    assert (found["oracle-acc"], found["oracle-lost"]) == (found["acc"], 0)
    assert "one clustering is all that is stored" in result.stderr


SCAN = ["--method", "scan", "--heads", 3, "--epochs", 2, "--set", "lr=0.001"]


def test_heads_of_a_trained_network_are_read_through_it(spice: Spice, copied: Path) -> None:
    spice("self-label", "-r", copied, *SCAN, "--set", "backbone=train")
    run = Run.open(copied)
    assert clusters_of_heads(run) is None
    found, stored = consult(run, torch.from_numpy(TRUTH), Silent()), run.read(Stage.SELF_LABEL)
    assert len(set(found.accuracies)) == 3
    said = stored["probs"].argmax(1)
    assert found.accuracies[found.picked] == pytest.approx(matched(said.numpy()))
    model = model_of(run, torch.device("cpu"), stage=Stage.SELF_LABEL)
    images = images_of(run, Silent().say).images
    with torch.no_grad(), autocast(images, model.bf16):
        features = model.backbone(plain(images))
    for head, acc in enumerate(found.accuracies):
        logits = features.float() @ stored["heads.weight"][head].T + stored["heads.bias"][head]
        assert acc == pytest.approx(matched(logits.argmax(1).numpy()), abs=0.01)


@pytest.mark.parametrize("backbone", ["train", "frozen"])
def test_what_self_labelling_did_to_the_heads_is_said(
    spice: Spice, copied: Path, backbone: str
) -> None:
    confident = ["confident.epochs=1", "confident.threshold=0.1", "self_label=true"]
    sets = [part for text in (f"backbone={backbone}", *confident) for part in ("--set", text)]
    spice("self-label", "-r", copied, *SCAN, *sets)
    found = consult(Run.open(copied), torch.from_numpy(TRUTH), Silent())
    assert len(found.accuracies) == {"train": 1, "frozen": 3}[backbone]
    wanted = {"train": "changed the network of the heads", "frozen": "before the self-labelling"}
    assert wanted[backbone] in found.note


def test_the_epoch_is_named_and_that_no_other_can_be(spice: Spice, copied: Path) -> None:
    spice("self-label", "-r", copied, "--epochs", 3)
    log = [json.loads(line) for line in (copied / "self-label.jsonl").read_text().splitlines()]
    least = min(log, key=lambda line: line["selection_loss"])["epoch"]
    result = spice("evaluate", "-r", copied, "--stage", "self-label", "--oracle")
    wanted = f"but those of epoch {least} of 3, so no best epoch can be named"
    assert wanted in result.stderr.replace("\n", " ")
    (copied / "self-label.jsonl").write_text("{")
    again = spice("evaluate", "-r", copied, "--stage", "self-label", "--oracle")
    assert "but those of one epoch" in again.stderr


def test_restarts_that_look_at_several_spaces_are_read_in_all_of_them(
    spice: Spice, copied: Path
) -> None:
    rows = load_file(copied / "embed.safetensors")["embeddings"].numpy()
    np.save("more.npy", rows[:, ::2])
    line = ["self-label", "-r", copied, "--method", "turtle", "--heads", 3, "--epochs", 1]
    spice(*line, "--space", "more.npy")
    run = Run.open(copied)
    found, stored = clusters_of_heads(run), run.read(Stage.SELF_LABEL)
    assert found is not None
    assert {"heads.0.weight", "heads.1.weight"} <= stored.keys()
    assert torch.equal(found[stored["losses"].argmin()], stored["probs"].argmax(1))
    Path("more.npy").unlink()
    assert clusters_of_heads(run) is None
    with pytest.raises(MissingError, match="stored no heads that an oracle"):
        consult(run, torch.from_numpy(TRUTH), Silent())
