import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

Spice = Callable[..., Any]


def manifest(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def edit(run: Path, change: Callable[[Any], None]) -> None:
    content = manifest(run)
    content.pop("check", None)
    change(content)
    (run / "run.json").write_text(json.dumps(content))


@pytest.fixture
def pair(finished: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs, `b` without `semi`."""
    one, other = (shutil.copytree(finished, tmp_path / name) for name in "ab")
    edit(other, lambda content: content["stages"].pop("semi"))
    return one, other


def test_a_row_is_what_evaluate_says(spice: Spice, pair: tuple[Path, Path]) -> None:
    (table,) = json.loads(spice("compare", *pair, "--json").stdout)
    assert (table["data"], table["protocol"], table["nmi"]) == ("digits", "whole", "arithmetic")
    assert table["images"] == 1797
    for row in table["rows"]:
        alone = json.loads(spice("evaluate", "-r", row["run"], "--json").stdout)
        del alone["of"]
        assert {name: each["mean"] for name, each in row["scores"].items()} == alone
        assert all(each["deviation"] is None for each in row["scores"].values())
    assert {row["run"]: row["stage"] for row in table["rows"]} == {
        str(pair[0]): "semi",
        str(pair[1]): "self-label",
    }
    said = {row["run"]: row["methods"] for row in table["rows"]}
    assert said[str(pair[0])] == "simclr small, 3 epochs > spice > spice > fixmatch"
    assert said[str(pair[1])] == "simclr small, 3 epochs > spice"


def test_the_first_metric_ranks(spice: Spice, pair: tuple[Path, Path]) -> None:
    line = ["compare", *pair, "--stage", "embed", "--stage", "self-label", "--json"]
    for metric in ("acc", "ari"):
        (table,) = json.loads(spice(*line, "--metric", metric).stdout)
        values = [row["scores"][metric]["mean"] for row in table["rows"]]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert all(list(row["scores"]) == [metric] for row in table["rows"])


def test_lines_of_stdout_are_data(spice: Spice, pair: tuple[Path, Path]) -> None:
    lines = [line.split("\t") for line in spice("compare", pair[0]).stdout.splitlines()]
    assert [line[:5] for line in lines] == [
        ["digits", "whole", str(pair[0]), "semi", name] for name in ("acc", "nmi", "ari")
    ]
    assert all(line[6:] == ["", "1"] for line in lines)


def test_the_kind_of_nmi_is_said_and_can_be_chosen(spice: Spice, pair: tuple[Path, Path]) -> None:
    spice("evaluate", "-r", pair[0], "--average", "geometric")
    other, one = (
        spice("compare", pair[0], "--average", kind, "--metric", "nmi")
        for kind in ("geometric", "arithmetic")
    )
    assert "NMI geometric" in other.stderr
    assert "NMI arithmetic" in one.stderr
    assert other.stdout != one.stdout
    alone = spice("evaluate", "-r", pair[0], "--average", "geometric", "--metrics", "nmi").stdout
    assert other.stdout.split("\t")[5] == alone.split("\t")[1].strip()


def test_kept_scores_are_taken_while_they_are_of_this_artifact(
    spice: Spice, pair: tuple[Path, Path]
) -> None:
    run, _ = pair
    spice("evaluate", "-r", run)
    file = run / "evaluate.json"
    kept = json.loads(file.read_text())
    kept["scores"]["acc"] = 0.25
    file.write_text(json.dumps(kept))
    line = ["compare", run, "--metric", "acc", "--json"]
    (table,) = json.loads(spice(*line).stdout)
    assert table["rows"][0]["scores"]["acc"]["mean"] == 0.25
    for change in (
        {"input": "0" * 64},
        {"stage": "embed"},
        {"notes": ["acc: clusters matched many to one"]},
        {"scores": {"nmi": 1}},
        {"scores": 3},
    ):
        file.write_text(json.dumps(kept | change))
        (table,) = json.loads(spice(*line).stdout)
        assert table["rows"][0]["scores"]["acc"]["mean"] > 0.3, change
    file.write_text("{")
    spice(*line)


def test_other_data_or_protocols_are_never_in_one_ranking(spice: Spice, copied: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    parts = {"images": images[:60], "labels": labels[:60]}
    parts |= {"test_images": images[60:90], "test_labels": labels[60:90]}
    np.savez("split.npz", **parts)
    for protocol in ("whole", "split"):
        line = ["pretrain", "split.npz", "--protocol", protocol, "--epochs", 1, "--backbone"]
        more = ["small", "--batch-size", 20, "--set", "width=4", "--method", "simclr"]
        spice(*line, *more, "-r", protocol)
        spice("embed", "-r", protocol)
    line = ["compare", "whole", copied, "split", "--json", "--stage", "embed", "-k", 10]
    result = spice(*line)
    tables = json.loads(result.stdout)
    assert [(Path(t["data"]).name, t["protocol"], t["images"]) for t in tables] == [
        ("split.npz", "whole", 90),
        ("digits", "whole", 1797),
        ("split.npz", "split", 30),
    ]
    assert all(len(table["rows"]) == 1 for table in tables)
    assert "3 tables, not to be ranked together" in result.stderr
    assert "protocol split, 30 images scored" in result.stderr


def test_a_family_is_one_row_of_mean_and_deviation(spice: Spice, finished: Path) -> None:
    for seed in (0, 1, 2):
        run = shutil.copytree(finished, Path(f"f/seed-{seed}"))
        if seed:
            spice("self-label", "-r", run, "--seed", seed)
    (table,) = json.loads(spice("compare", "f", "--stage", "self-label", "--json").stdout)
    (row,) = table["rows"]
    values = row["scores"]["acc"]["values"]
    assert len(set(values)) == 3
    assert row["seeds"] == [0, 1, 2]
    assert row["scores"]["acc"]["mean"] == pytest.approx(mean(values))
    assert row["scores"]["acc"]["deviation"] == pytest.approx(stdev(values))


def test_published_rows_of_the_same_data_and_protocol_come_with_their_source(
    spice: Spice, copied: Path
) -> None:
    assert "nothing published is known for digits" in (
        spice("compare", copied, "--published").stderr
    )
    from spice_cli.published import published_for

    edit(copied, lambda content: content["data"].update(name="cifar10"))
    spec = manifest(copied)["data"]["spec"]
    assert spec["name"] == "digits"
    result = spice("compare", copied, "--published", "--json")
    wanted = published_for("cifar10", "whole")
    (table,) = json.loads(result.stdout)
    assert [row["method"] for row in table["published"]] == [row.method for row in wanted]
    assert all(row["source"] for row in table["published"])
    assert wanted[0].source in result.stderr
    without = spice("compare", copied, "--json")
    assert json.loads(without.stdout)[0]["published"] == []


def test_what_is_no_run_or_unfinished_is_said(
    spice: Spice, copied: Path, forget: Callable[..., Path]
) -> None:
    Path("empty").mkdir()
    assert "`empty` is neither a run nor a family" in spice("compare", "empty", code=3).stderr
    assert "`gone` is neither a run nor a family" in spice("compare", "gone", code=3).stderr
    forget(copied, "semi", "select-reliable", "self-label", "embed", "pretrain")
    assert "spice run digits -r" in spice("compare", copied, code=3).stderr


def test_an_unfinished_seed_is_said(
    spice: Spice, finished: Path, forget: Callable[..., Path]
) -> None:
    for seed in (0, 1):
        shutil.copytree(finished, Path(f"f/seed-{seed}"))
    forget(Path("f/seed-1"), "semi")
    refused = spice("compare", "f", code=3).stderr
    assert "`f/seed-1` has no `semi` yet" in refused
    assert "hint: spice semi -r f/seed-1" in refused


def test_stale_and_broken_runs_are_refused_whatever_was_kept(spice: Spice, copied: Path) -> None:
    spice("evaluate", "-r", copied)
    shutil.copy(copied / "run.json", "kept.json")

    def stale(content: Any) -> None:
        content["stages"]["self-label"]["sha256"] = "0" * 64

    edit(copied, stale)
    assert "is stale" in spice("compare", copied, code=4).stderr
    shutil.copy("kept.json", copied / "run.json")
    (copied / "semi.safetensors").write_bytes(b"")
    assert "is not the file that `semi` wrote" in spice("compare", copied, code=4).stderr


def test_other_images_under_one_name_are_refused(spice: Spice, pair: tuple[Path, Path]) -> None:
    edit(pair[1], lambda content: content["data"].update(fingerprint="1" * 64))
    refused = spice("compare", *pair, code=4).stderr
    assert "are both about `digits`, but not the same images" in refused
    assert "fingerprint 11111111" in refused


def test_labels_of_a_file_are_asked_for_here_as_in_evaluate(
    spice: Spice, pair: tuple[Path, Path]
) -> None:
    run, other = pair
    np.save("odd.npy", load_digits().target % 2)
    line = ["compare", run, "--stage", "self-label", "--metric", "purity", "--json"]
    (own,) = json.loads(spice(*line).stdout)
    more = ["evaluate", "-r", run, "--stage", "self-label", "--labels", "odd.npy", "--json"]
    alone = json.loads(spice(*more, "--metrics", "purity").stdout)
    assert len(json.loads((run / "evaluate.json").read_text())["labels"]) == 64
    result = spice(*line, other, "--labels", "odd.npy", "--published")
    (theirs,) = json.loads(result.stdout)
    assert [row["scores"]["purity"]["mean"] for row in theirs["rows"]] == [alone["purity"]] * 2
    assert "labels of a file (" in result.stderr
    (again,) = json.loads(spice(*line).stdout)
    assert again == own
    assert (own["labels"], len(theirs["labels"])) == (None, 64)
    assert own["rows"][0]["scores"]["purity"]["mean"] != alone["purity"]


@pytest.fixture
def twice(clustered: Path, spice: Spice) -> tuple[Path, Path]:
    """Two runs with no labels of their own, scored against different ones."""
    found = []
    for seed, groups in enumerate((30, 40)):
        run = shutil.copytree(clustered, Path(f"f/seed-{seed}"))
        np.save("probs.npy", np.eye(4, dtype=np.float32)[(np.arange(120) + seed) // 30 % 4])
        spice("self-label", "-r", run, "--from", "probs.npy")
        np.save("truth.npy", np.arange(120) // groups)
        spice("evaluate", "-r", run, "--labels", "truth.npy")
        found.append(run)
    return found[0], found[1]


def test_scores_of_different_labels_are_never_in_one_ranking(
    spice: Spice, clustered: Path, twice: tuple[Path, Path]
) -> None:
    result = spice("compare", *twice, clustered, "--json")
    tables = json.loads(result.stdout)
    assert [len(table["rows"]) for table in tables] == [1, 1, 1]
    assert len({table["labels"] for table in tables}) == 3
    assert "acc" not in tables[2]["rows"][0]["scores"]
    assert "other images, protocol or labels" in result.stderr
    (table,) = json.loads(spice("compare", *twice, "--labels", "truth.npy", "--json").stdout)
    assert len(table["rows"]) == 2
    assert table["labels"] == tables[1]["labels"]


def test_a_family_scored_against_different_labels_is_refused(
    spice: Spice, twice: tuple[Path, Path]
) -> None:
    refused = spice("compare", "f", code=4).stderr
    assert "runs of `f` were scored against different true classes" in refused
    assert "hint: spice compare f --labels FILE" in refused
    assert spice("compare", "f", "--labels", "truth.npy").stdout.count("\t2\n") == 3


def test_scores_that_cannot_be_read_are_computed_anew(spice: Spice, copied: Path) -> None:
    first = spice("compare", copied).stdout
    for text in ("[" * 200_000, '{"input": ' * 200_000, "9" * 5_000):
        (copied / "evaluate.json").write_text(text)
        assert spice("compare", copied).stdout == first
