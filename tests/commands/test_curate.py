"""Naming, merging and splitting the clusters of a finished run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spice_cli.run.manifest import Stage
from spice_cli.run.store import Run
from spice_cli.stages.assignments import assignments

Spice = Callable[..., Any]
SIZES = {"0": 30, "1": 60, "2": 30}


def clusters(run: Path) -> list[int]:
    return assignments(Run.open(run), Stage.SELF_LABEL, None).cluster.tolist()


def sizes(result: Any) -> dict[str, int]:
    return dict(json.loads(result.stdout))


def test_a_merge_holds_in_what_reads_the_run_and_keeps_the_first_number(
    clustered: Path, spice: Spice
) -> None:
    assert sizes(spice("merge", 2, 0, "-r", clustered, "--json")) == {"1": 60, "2": 60}
    assert set(clusters(clustered)) == {1, 2}
    evaluated = spice("evaluate", "-r", clustered)
    assert "after 1 merge" in evaluated.stderr
    kept = json.loads((clustered / "evaluate.json").read_text())
    assert {row["cluster"]: row["images"] for row in kept["per_cluster"]}[2] == 60
    assert "after 1" not in spice("evaluate", "--as-found", "-r", clustered).stderr
    assert json.loads((clustered / "evaluate.json").read_text()) == kept


def test_clusters_that_were_merged_away_are_not_lost(clustered: Path, spice: Spice) -> None:
    """Cluster 3 of the run is empty from the start, and is."""
    spice("merge", 1, 2, "-r", clustered)
    result = spice("evaluate", "-r", clustered)
    assert "3 clusters" in result.stderr
    assert "1 of 3 clusters lost (3): 1 empty" in result.stderr
    found = {name: float(each) for name, each in map(str.split, result.stdout.splitlines())}
    assert (found["clusters"], found["smallest"], found["largest"]) == (2, 0, 90)
    kept = json.loads((clustered / "evaluate.json").read_text())
    assert kept["clusters"] == 3
    assert [row["cluster"] for row in kept["per_cluster"]] == [0, 1, 3]
    spice("merge", 0, 3, "-r", clustered, code=2)
    spice("split", 1, "-r", clustered)
    result = spice("evaluate", "-r", clustered, "--json")
    assert json.loads(result.stdout)["of"]["clusters"] == 4
    assert "of 4 clusters lost" in result.stderr
    spice("report", "-r", clustered)
    kept = json.loads((clustered / "evaluate.json").read_text())
    assert [row["cluster"] for row in kept["per_cluster"]] == [0, 1, 3, 4]


def test_a_split_divides_by_the_embeddings_and_undo_takes_it_back(
    clustered: Path, spice: Spice
) -> None:
    before = clusters(clustered)
    assert sizes(spice("split", 1, "-r", clustered, "--json")) == {**SIZES, "1": 30, "4": 30}
    after = torch.tensor(clusters(clustered))
    assert {len(set(after[30:60].tolist())), len(set(after[90:].tolist()))} == {1}
    spice("merge", "--undo", "-r", clustered)
    assert clusters(clustered) == before
    error = spice("merge", "--undo", "-r", clustered, code=2)
    assert "nothing was merged or split" in error.stderr


def test_parts_can_be_split_merged_and_undone_in_turn(clustered: Path, spice: Spice) -> None:
    run = ("-r", clustered, "--json")
    spice("split", 1, "--parts", 3, *run)
    assert sizes(spice("merge", 4, 5, *run)).keys() >= {"0", "1", "2", "4"}
    assert sum(sizes(spice("split", 4, *run)).values()) == 120
    for _ in range(3):
        spice("merge", "--undo", *run)
    assert sizes(spice("merge", "--to", 3, *run)) == SIZES


def test_merge_and_split_call_clusters_by_their_names(clustered: Path, spice: Spice) -> None:
    run = ("-r", clustered)
    spice("name", 1, "red cars", *run)
    assert "merged 0, 1 `red cars`" in spice("merge", 0, 1, *run).stderr
    spice("merge", "--undo", *run)
    spice("name", 1, "red cars", *run)
    assert "cluster 1 `red cars` became 1, 4" in spice("split", 1, *run).stderr


def test_merge_to_follows_the_tree(clustered: Path, spice: Spice) -> None:
    steps = json.loads(spice("merge", "--tree", "-r", clustered, "--json").stdout)
    lines = spice("merge", "--tree", "-r", clustered).stdout.splitlines()
    assert len(steps) == len(lines) == 2
    left = sizes(spice("merge", "--to", 2, "-r", clustered, "--json"))
    assert str(steps[0]["clusters"][0]) in left
    assert len(left) == 2
    spice("merge", "--to", 1, "-r", clustered)
    assert set(clusters(clustered)) == {0}


@pytest.mark.parametrize(
    "title", ["red cars", "🚗 voitures", "../../etc", "a\tb\nc", "<script>", "[bold]x[/]", "-"]
)
def test_names_of_all_kinds_are_harmless(clustered: Path, spice: Spice, title: str) -> None:
    listed = spice("name", "-r", clustered, "--", 1, title).stdout
    assert listed == f"1\t{' '.join(title.split())}\n"
    spice("evaluate", "-r", clustered)
    assert spice("name", "-r", clustered).stdout == listed


def test_a_name_goes_with_clear_and_with_the_cluster_that_a_merge_takes(
    clustered: Path, spice: Spice
) -> None:
    spice("name", 1, "one", "-r", clustered)
    spice("name", 2, "two", "-r", clustered)
    spice("merge", 1, 2, "-r", clustered)
    assert spice("name", "-r", clustered).stdout == "1\tone\n"
    assert spice("name", 1, "--clear", "-r", clustered).stdout == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["name", 9, "x"], "there is no cluster 9"),
        (["name", 3, "x"], "there is no cluster 3"),
        (["name", 1], "either a name or `--clear`"),
        (["name", 1, "x", "--clear"], "either a name or `--clear`"),
        (["name", 1, " \n"], "something to print"),
        (["name", 1, "x" * 201], "at most 200 characters"),
        (["merge", 1], "at least two"),
        (["merge", 1, 1], "at least two"),
        (["merge", 1, 9], "there is no cluster 9"),
        (["merge", 9], "there is no cluster 9"),
        (["merge", 1], "spice merge 1 0"),
        (["merge"], "which clusters belong together"),
        (["merge", 1, 2, "--tree"], "which clusters belong together"),
        (["merge", "--to", 7], "there are only 3 clusters"),
        (["split", 9], "there is no cluster 9"),
        (["split", 0, "--parts", 31], "too few for 31 parts"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    clustered: Path, spice: Spice, command: list[object], message: str
) -> None:
    assert message in spice(*command, "-r", clustered, code=2).stderr
    assert not (clustered / "curation.json").exists()


def test_two_clusters_cannot_have_one_name(clustered: Path, spice: Spice) -> None:
    spice("name", 1, "cars", "-r", clustered)
    assert "spice merge 1 2" in spice("name", 2, "cars", "-r", clustered, code=2).stderr


def test_another_results_clusters_are_others(clustered: Path, spice: Spice) -> None:
    spice("name", 1, "one", "-r", clustered)
    spice("merge", 1, 2, "-r", clustered)
    run = Run.open(clustered)
    record = run.record(Stage.SELF_LABEL)
    run.write(
        Stage.SELF_LABEL,
        {"probs": run.read(Stage.SELF_LABEL)["probs"].flip(1)},
        config={},
        inputs=record.inputs,
        seed=0,
        environment=record.environment,
        seconds=0,
        imported=True,
    )
    result = spice("name", "-r", clustered)
    assert result.stdout == ""
    assert "of an older result" in result.stderr
    assert set(clusters(clustered)) == {1, 2, 3}


def test_a_run_without_clusters_says_what_is_missing(tmp_path: Path, spice: Spice) -> None:
    assert spice("merge", 1, 2, "-r", tmp_path / "no", code=3)
